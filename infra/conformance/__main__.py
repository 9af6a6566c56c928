"""`python -m infra.conformance [pytest arguments]`: checks the tools, starts the servers and runs the tests."""

import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path

from infra.conformance.adapter import build_adapter
from infra.conformance.dynamodb import running_dynamodb
from infra.conformance.tools import PrerequisiteMissing, check_tools
from infra.runtime.template import ROOT

# Tests that depend on the table's behaviour. The other tests have the same result on moto.
STORES = ("tests/unit", "tests/integration/chat", "tests/integration/sessions")
TESTS_SECONDS = 2_400
PRODUCT_LOG = ROOT / ".local" / "product-tests.log"
NICE = ("nice", "-n", "10")
NO_TESTS = 5


def main(arguments: Sequence[str]) -> int:
    """Run the conformance tests and return the exit status, which is 2 if a prerequisite is missing.

    The tests of the whole product run at the same time as the other tests, because they mostly wait for leases, windows
    and sweeps. Their processes have a higher priority, because some of these tests measure time.
    """
    try:
        check_tools()
        adapter = build_adapter()
        with ThreadPoolExecutor(1) as beside:
            product = beside.submit(
                _pytest, "product below a stage", ["tests/e2e", "--stage-prefix=/dev"], arguments, log=PRODUCT_LOG
            )
            statuses = _run_tables(arguments, adapter)
            if not arguments:
                statuses.append(_run("policies", [*NICE, sys.executable, "-m", "infra.iam"]))
            statuses.append(product.result())
    except PrerequisiteMissing as missing:
        print(f"conformance: {missing}", file=sys.stderr)
        return 2
    print(PRODUCT_LOG.read_text(encoding="utf-8"))
    return next((status for status in statuses if status), 0)


def _run_tables(arguments: Sequence[str], adapter: Path) -> list[int]:
    """Run the tests on DynamoDB Local. Each part has a new server, because thousands of tables slow down a server."""
    statuses = []
    for name, options in (
        ("stores", [*STORES, "-n", "2", "--dist", "loadfile", "-m", "table"]),
        ("conformance", ["tests/conformance", f"--adapter={adapter}"]),
    ):
        with running_dynamodb() as dynamodb:
            statuses.append(_pytest(name, [*options, f"--dynamodb={dynamodb.url}"], arguments, before=NICE))
    return statuses


def _pytest(
    name: str, options: Sequence[str], arguments: Sequence[str], *, before: Sequence[str] = (), log: Path | None = None
) -> int:
    command = [*before, sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--durations=5"]
    status = _run(name, [*command, *options, *arguments], log)
    return 0 if status == NO_TESTS and arguments else status  # pytest: no tests were selected


def _run(name: str, command: Sequence[str], log: Path | None = None) -> int:
    """Run a command in the project's folder and return its exit status. If `log` is given, write the output to it."""
    started = time.monotonic()
    with log.open("w", encoding="utf-8") if log else nullcontext() as output:
        done = subprocess.run(
            command, cwd=ROOT, check=False, timeout=TESTS_SECONDS, stdout=output, stderr=output and subprocess.STDOUT
        )
    print(f"conformance: {name}: status {done.returncode} in {time.monotonic() - started:.0f} s", file=sys.stderr)
    return done.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
