"""`make dev DETACH=1`: run the stack in a background process, and wait until it is ready or has failed."""

import contextlib
import json
import os
import subprocess
from collections.abc import Callable, Iterator

from infra.local import StartFailed
from infra.local.paths import ERRORS, PYTHON, ROOT


def start_in_background() -> str:
    """Start the stack, wait until it is ready and return its announcement; raise StartFailed with the reason."""
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
        with os.fdopen(reading) as reports:
            content = reports.read()
    except KeyboardInterrupt:
        process.terminate()
        process.wait()
        raise
    report = json.loads(content) if content else {"failed": _read_last_error()}
    if "failed" in report:
        raise StartFailed(str(report["failed"]))
    return str(report["ready"])


@contextlib.contextmanager
def reporting(descriptor: int) -> Iterator[Callable[[str], None]]:
    """Yield a function that reports readiness to the starting process, once. StartFailed is reported, too."""
    reports = os.fdopen(descriptor, "w")

    def report(key: str, text: str) -> None:
        if not reports.closed:
            with contextlib.suppress(BrokenPipeError), reports:
                json.dump({key: text}, reports)

    try:
        yield lambda text: report("ready", text)
    except StartFailed as error:
        report("failed", str(error))
        raise


def _read_last_error() -> str:
    lines = ERRORS.read_text(errors="replace").split("\n")
    last = next((line for line in reversed(lines) if line.strip()), "no reason was given")
    return f"the stack ended while it was starting: {last}"
