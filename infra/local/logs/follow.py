"""`make logs`: print the end of `.local/dev.log` and follow it until interrupted, also over a restart."""

import os
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from infra.local import StartFailed
from infra.local.logs.render import recolour

LINES_BEFORE = 200
POLL_SECONDS = 0.2


def follow(path: Path, *, colours: bool) -> None:
    """Print the log and follow it; raise StartFailed when there is none."""
    if not path.exists():
        raise StartFailed("there is no log; start the stack with `make dev`")
    for line in read_growing(path):
        print(recolour(line) if colours else line, flush=True)


def read_growing(path: Path) -> Iterator[str]:
    """Yield the last LINES_BEFORE lines and then new ones, also of a file that replaces this one."""
    file = path.open(encoding="utf-8")
    try:
        for line in deque(file, maxlen=LINES_BEFORE):
            yield line.rstrip("\n")
        while True:
            if line := file.readline():
                yield line.rstrip("\n")
            elif path.exists() and path.stat().st_ino != os.fstat(file.fileno()).st_ino:
                file.close()
                file = path.open(encoding="utf-8")
            else:
                time.sleep(POLL_SECONDS)
    finally:
        file.close()
