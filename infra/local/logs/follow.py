"""`make logs`: the end of `.local/dev.log`, and what comes, until interrupted. A new start is followed too."""

import os
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from infra.local.failures import StartFailed
from infra.local.logs.render import recolour

LINES_BEFORE = 200
POLL_SECONDS = 0.2


def follow(path: Path, *, colours: bool) -> None:
    """Print and go on printing; raises StartFailed when there is no log."""
    if not path.exists():
        raise StartFailed("there is no log yet: make dev")
    for line in read_growing(path):
        print(recolour(line) if colours else line, flush=True)


def read_growing(path: Path) -> Iterator[str]:
    """Yield the last LINES_BEFORE lines and then those that are added, also to a file that takes its place."""
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
