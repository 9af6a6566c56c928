"""`python -m infra.conformance [pytest arguments]`: check the tools, fetch, build, start, test, stop."""

import subprocess
import sys
import time
from collections.abc import Sequence

from infra.conformance.adapter import build_adapter
from infra.conformance.dynamodb import running_dynamodb
from infra.conformance.tools import PrerequisiteMissing, check_tools
from infra.runtime.template import ROOT

TESTS_SECONDS = 1500


def main(arguments: Sequence[str]) -> int:
    """Run the conformance tests; returns the exit status, 2 when a prerequisite is missing."""
    try:
        check_tools()
        adapter = build_adapter()
        started = time.monotonic()
        with running_dynamodb() as dynamodb:
            print(f"conformance: DynamoDB Local up in {time.monotonic() - started:.1f} s", file=sys.stderr)
            backend = f"--dynamodb={dynamodb.url}"
            stores = _pytest("stores", ["tests", "-m", "table", backend, *arguments])
            rest = _pytest("conformance", ["tests/conformance", backend, f"--adapter={adapter}", *arguments])
    except PrerequisiteMissing as missing:
        print(f"conformance: {missing}", file=sys.stderr)
        return 2
    return stores or rest


def _pytest(name: str, arguments: Sequence[str]) -> int:
    started = time.monotonic()
    command = [sys.executable, "-m", "pytest", "--durations=5", *arguments]
    status = subprocess.run(command, cwd=ROOT, check=False, timeout=TESTS_SECONDS).returncode
    print(f"conformance: {name}: status {status} in {time.monotonic() - started:.0f} s", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
