"""`make dev DETACH=1`: runs the stack in a background process and waits until it is ready or has failed."""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator

from infra.local import StartFailed
from infra.local.paths import ERRORS, PYTHON, ROOT


def start_in_background() -> str:
    """Start the stack, wait until it is ready, and return the text to show to the developer.

    Raises StartFailed if the stack does not start.
    """
    reading, writing = os.pipe()
    ERRORS.parent.mkdir(parents=True, exist_ok=True)
    with ERRORS.open("w") as errors:
        process = subprocess.Popen(
            [str(PYTHON), "-m", "infra.local.dev", "up", "--report-to", str(writing)],
            cwd=ROOT,
            pass_fds=(writing,),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            start_new_session=True,
        )
    os.close(writing)
    try:
        report = _follow_reports(reading)
    except KeyboardInterrupt:
        process.terminate()
        process.wait()
        raise
    if "failed" in report:
        raise StartFailed(report["failed"])
    return report["ready"]


def _follow_reports(descriptor: int) -> dict[str, str]:
    """Print the progress reports of the stack, and return the last report: `ready` or `failed`."""
    with os.fdopen(descriptor) as reports:
        for line in reports:
            report: dict[str, str] = json.loads(line)
            if "progress" not in report:
                return report
            print(f"  {report['progress']}", file=sys.stderr, flush=True)
    return {"failed": _read_last_error()}


@contextlib.contextmanager
def reporting(descriptor: int) -> Iterator[Callable[[str, str], None]]:
    """Yield a function that sends a report to the process that started the stack.

    A report has a key, `progress` or `ready`, and a text. The last report is `ready`, or `failed` if StartFailed is
    raised.
    """
    reports = os.fdopen(descriptor, "w", buffering=1)

    def report(key: str, text: str) -> None:
        with contextlib.suppress(BrokenPipeError, ValueError):  # the starting process has ended or has closed the pipe
            print(json.dumps({key: text}), file=reports)
            if key != "progress":
                reports.close()

    try:
        yield report
    except StartFailed as error:
        report("failed", str(error))
        raise


def _read_last_error() -> str:
    lines = ERRORS.read_text(errors="replace").split("\n")
    last = next((line for line in reversed(lines) if line.strip()), "no reason was given")
    return f"the stack ended while it was starting: {last}"
