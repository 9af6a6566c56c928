"""Implements `make logs`, which prints the end of `.local/dev.log` and then each new line.

The command runs until it is interrupted, even if the stack restarts.
"""

import os
import time
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path

from infra.local import StartFailed
from infra.local.logs.entries import LEVELS
from infra.local.logs.render import level_of, recolour

LINES_BEFORE = 200
POLL_SECONDS = 0.2
_CONTINUATION = " " * 18  # instead of a time and a level


def follow(path: Path, *, level: str = "DEBUG", colours: bool) -> None:
    """Print the entries that have at least this level, and follow the log. Raises StartFailed if there is no log."""
    if not path.exists():
        raise StartFailed("there is no log; start the stack with `make dev`")
    for line in at_least(level, read_growing(path)):
        print(recolour(line) if colours else line, flush=True)


def at_least(level: str, lines: Iterable[str]) -> Iterator[str]:
    """Yield the lines of the entries that have at least this level.

    A line without a level belongs to the previous entry.
    """
    shown = True
    for line in lines:
        found = level_of(line)
        if found is not None:
            shown = LEVELS.index(found) >= LEVELS.index(level)
        if shown or (found is None and not line.startswith(_CONTINUATION)):
            yield line


def read_growing(path: Path) -> Iterator[str]:
    """Yield the last LINES_BEFORE lines of a file and then each new line, even if another file replaces this file."""
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
