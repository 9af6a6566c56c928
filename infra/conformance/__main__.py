"""`python -m infra.conformance [pytest arguments]`: checks the tools, starts the servers and runs the tests."""

import subprocess
import sys
import time
from collections.abc import Sequence

from infra.conformance.adapter import build_adapter
from infra.conformance.dynamodb import running_dynamodb
from infra.conformance.tools import PrerequisiteMissing, check_tools
from infra.runtime.template import ROOT

# Tests that depend on the table's behaviour. The other tests have the same result on moto.
STORES = ("tests/unit", "tests/integration/chat", "tests/integration/sessions")
TESTS_SECONDS = 2_400
NO_TESTS = 5


def main(arguments: Sequence[str]) -> int:
    """Run the conformance tests and return the exit status; it is 2 if a prerequisite is missing."""
    try:
        check_tools()
        adapter = build_adapter()
        statuses = []
        with running_dynamodb() as dynamodb:
            backend = f"--dynamodb={dynamodb.url}"
            options = [*STORES, "-n", "2", "--dist", "loadfile", "-m", "table", backend]
            statuses.append(_pytest("stores", options, arguments))
        with (
            running_dynamodb() as dynamodb
        ):  # a new server for each run, because thousands of leftover tables slow it down
            backend = f"--dynamodb={dynamodb.url}"
            statuses.append(_pytest("conformance", ["tests/conformance", backend, f"--adapter={adapter}"], arguments))
    except PrerequisiteMissing as missing:
        print(f"conformance: {missing}", file=sys.stderr)
        return 2
    if not arguments:
        statuses.append(_run("policies", ["infra.iam"]))
    statuses.append(_pytest("product below a stage", ["tests/e2e", "--stage-prefix=/dev"], arguments))
    return next((status for status in statuses if status), 0)


def _pytest(name: str, options: Sequence[str], arguments: Sequence[str]) -> int:
    status = _run(name, ["pytest", "-p", "no:cacheprovider", "--durations=5", *options, *arguments])
    return 0 if status == NO_TESTS and arguments else status  # pytest: no tests were selected


def _run(name: str, module: Sequence[str]) -> int:
    started = time.monotonic()
    command = [sys.executable, "-m", *module]
    status = subprocess.run(command, cwd=ROOT, check=False, timeout=TESTS_SECONDS).returncode
    print(f"conformance: {name}: status {status} in {time.monotonic() - started:.0f} s", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
