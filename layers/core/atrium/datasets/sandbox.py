"""Starts the process that executes a query (`worker.py`), and reads its result."""

import json
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from atrium.datasets.model import QueryResult
from atrium.kernel.errors import Unavailable, invalid_field

SECONDS_MAX = 10
_WORKER = Path(__file__).with_name("worker.py")
_SLOW = "the query needs too much time; use fewer rows or simpler joins"
_LARGE = "the query needs too much memory; use fewer rows or simpler joins"


def execute(sql: str, images: Mapping[str, bytes], bytes_max: int) -> QueryResult:
    """Execute a query over SQLite images, by the names of their tables.

    Raises `ValidationFailed` if the query fails or exceeds a limit, and `Unavailable` if the process does not work.
    """
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
    if done.returncode < 0:
        raise invalid_field("sql", _SLOW if -done.returncode == signal.SIGXCPU else _LARGE)
    if done.returncode:
        raise Unavailable(internal=f"the process of a query ended with {done.returncode}")
    found = json.loads(done.stdout)
    if "fault" in found:
        raise invalid_field("sql", found["fault"])
    return QueryResult(**found)
