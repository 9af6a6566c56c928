"""`python -m infra.conformance [pytest arguments]`: checks the tools, starts the servers and runs the tests."""

import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path

from infra.conformance.adapter import build_adapter
from infra.conformance.dynamodb import fetch_dynamodb, running_dynamodb
from infra.conformance.tools import PrerequisiteMissing, check_tools
from infra.runtime.template import ROOT

# Tests that depend on the table's behaviour. The other tests have the same result on moto.
UNITS, TURNS = ("tests/unit",), ("tests/integration/chat", "tests/integration/sessions")
STORES = ("-n", "2", "--dist", "loadfile", "-m", "table")
# Many cases, which only read the tenant's settings and write audit events, and long walks over the calls of one caller.
# `tests/conformance` has the races of the archiver.
OMITTED = [
    *(f"--ignore=tests/unit/tools/test_{name}.py" for name in ("hostile_urls", "http_calling", "http_definition")),
    *(
        f"--ignore=tests/unit/sessions/test_{name}.py"
        for name in ("archiving", "archiving_interrupted", "archived_content")
    ),
    "--deselect=tests/unit/erasure/test_erasure.py::test_three_thousand_items_take_several_sweeps",
]
TESTS_SECONDS = 3_600
PRODUCT_LOG = ROOT / ".local" / "product-tests.log"
NICE = ("nice", "-n", "10")
TIMED_OUT = 124
STOP_SECONDS = 90
NO_TESTS = 5


def main(arguments: Sequence[str]) -> int:
    """Run the conformance tests and return the exit status, which is 2 if a prerequisite is missing.

    The tests of the whole product run beside the other tests, because they mostly wait for leases, windows and sweeps.
    They have a higher priority, because some of them check times.
    """
    try:
        check_tools()
        fetch_dynamodb()
        adapter = build_adapter()
    except PrerequisiteMissing as missing:
        print(f"conformance: {missing}", file=sys.stderr)
        return 2
    with ThreadPoolExecutor(1) as beside:
        options = ["tests/e2e", "--stage-prefix=/dev"]
        product = beside.submit(_pytest, "product below a stage", options, arguments, log=PRODUCT_LOG)
        statuses = _run_tables(arguments, adapter)
        if not arguments:
            statuses.append(_run("policies", [*NICE, sys.executable, "-m", "infra.iam"]))
        statuses.append(product.result())
    print(PRODUCT_LOG.read_text(encoding="utf-8", errors="replace"))
    return next((status for status in statuses if status), 0)


def _run_tables(arguments: Sequence[str], adapter: Path) -> list[int]:
    """Run the tests on DynamoDB Local. Each part has a new server, because a thousand tables slow down a server."""
    statuses = []
    for name, options in (
        ("stores", [*UNITS, *OMITTED, *STORES]),
        ("stores of turns", [*TURNS, *STORES]),
        ("conformance", ["tests/conformance", f"--adapter={adapter}"]),
    ):
        try:
            with running_dynamodb() as dynamodb:
                statuses.append(_pytest(name, [*options, f"--dynamodb={dynamodb.url}"], arguments, before=NICE))
        except PrerequisiteMissing as missing:
            print(f"conformance: {missing}", file=sys.stderr)
            statuses.append(2)
    return statuses


def _pytest(
    name: str, options: Sequence[str], arguments: Sequence[str], *, before: Sequence[str] = (), log: Path | None = None
) -> int:
    command = [*before, sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--durations=5"]
    status = _run(name, [*command, *options, *arguments], log)
    return 0 if status == NO_TESTS and arguments else status  # pytest: no tests were selected


def _run(name: str, command: Sequence[str], log: Path | None = None) -> int:
    """Run a command in the project's folder and return its exit status. `log` receives the output, if given.

    A command that takes too long is interrupted, so that its fixtures can stop their servers.
    """
    started = time.monotonic()
    with ExitStack() as files:
        output = files.enter_context(log.open("w", encoding="utf-8")) if log else None
        process = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT if output else None)
        try:
            status = process.wait(TESTS_SECONDS)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                process.wait(STOP_SECONDS)
            process.kill()  # no effect if the command has ended
            process.wait()
            status = TIMED_OUT
    print(f"conformance: {name}: status {status} in {time.monotonic() - started:.0f} s", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
