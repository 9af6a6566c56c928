"""Starts the process that executes a query (`worker.py`), and reads its result."""

import json
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from threading import BoundedSemaphore

from atrium.datasets.model import QueryResult
from atrium.kernel.errors import Unavailable, invalid_field

SECONDS_MAX = 10
_WORKER = Path(__file__).with_name("worker.py")
_SLOW = f"the query took longer than {SECONDS_MAX} s; use fewer rows or simpler joins"
_LARGE = "the query needs more than 128 MB of memory; use fewer rows or simpler joins"
_RUNNING = BoundedSemaphore(1)  # a process can use 256 MB, and a function has 512 MB

_FAULTS: Mapping[int, str] = {signal.SIGXCPU: _SLOW, signal.SIGKILL: _LARGE}


def execute(sql: str, images: Mapping[str, bytes], bytes_max: int) -> QueryResult:
    """Execute a query over SQLite images, by the names of their tables.

    Raises `ValidationFailed` if the query fails or exceeds a limit, and `Unavailable` if the process fails or another
    query runs too long. One query runs at a time.
    """
    if not _RUNNING.acquire(timeout=SECONDS_MAX):
        raise Unavailable("Too many queries run at the same time. Try again.", retry_after_seconds=1)
    try:
        return _execute(sql, images, bytes_max)
    finally:
        _RUNNING.release()


def _execute(sql: str, images: Mapping[str, bytes], bytes_max: int) -> QueryResult:
    header = {"sql": sql, "sizes": {name: len(image) for name, image in images.items()}, "bytes_max": bytes_max}
    sent = json.dumps(header).encode() + b"\n" + b"".join(images.values())
    # The path is that of Python's own libraries on Lambda. Nothing else is passed to the process.
    environment = {"LD_LIBRARY_PATH": f"{sys.base_prefix}/lib"}
    command = [sys.executable, "-I", "-S", "-B", str(_WORKER)]
    try:
        done = subprocess.run(  # noqa: S603 - the command is fixed
            command, input=sent, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment, cwd="/",
            timeout=SECONDS_MAX, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise invalid_field("sql", _SLOW) from error
    except OSError as error:
        raise Unavailable(internal=f"the query process cannot start: {type(error).__name__}") from error
    if -done.returncode in _FAULTS:
        raise invalid_field("sql", _FAULTS[-done.returncode])
    if done.returncode:
        raise Unavailable(internal=f"the query process ended with the exit code {done.returncode}")
    found = json.loads(done.stdout)
    if "fault" in found:
        raise invalid_field("sql", found["fault"])
    return QueryResult(**found)
