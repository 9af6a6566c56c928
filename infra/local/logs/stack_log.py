"""Writes all log entries to `.local/dev.log`, and entries that have at least the chosen level to the screen."""

import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TextIO

from infra.local.logs.entries import LEVELS, Entry, read_entry
from infra.local.logs.render import render


def read_clock() -> datetime:
    """Return the current time in the local time zone."""
    return datetime.now().astimezone()


class StackLog:
    """Writes entries to the log file. The log file of the previous run is renamed with the suffix `.1`."""

    def __init__(
        self,
        path: Path,
        screen: TextIO | None,
        *,
        level: str = "INFO",
        colours: bool = False,
        clock: Callable[[], datetime] = read_clock,
    ) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            os.replace(path, path.with_name(f"{path.name}.1"))
        self._file = path.open("w", encoding="utf-8", errors="replace", buffering=1)
        self._screen = screen
        self._shown = LEVELS[LEVELS.index(level) :]
        self._colours = colours
        self._clock = clock

    def line(self, component: str, text: str, *, tone: Callable[[Entry], Entry] | None = None) -> None:
        """Add a line of a child process. Empty lines are ignored. `tone` may change the entry's level."""
        if text.strip():
            entry = read_entry(component, text, self._clock())
            self.add(entry if tone is None else tone(entry))

    def note(self, component: str, message: str, *, level: str = "INFO", request_id: str = "") -> None:
        """Add an entry about the stack or one of its components."""
        self.add(Entry(self._clock(), component, level, message, request_id))

    def add(self, entry: Entry) -> None:
        """Write an entry to the file, and to the screen if its level is shown."""
        print(render(entry, colours=False), file=self._file)
        if self._screen is not None and entry.level in self._shown:
            print(render(entry, colours=self._colours), file=self._screen, flush=True)

    def write_text(self, text: str) -> None:
        """Write text without time and level to the file and the screen."""
        print(text, file=self._file)
        if self._screen is not None:
            print(text, file=self._screen, flush=True)

    def close(self) -> None:
        """Close the log file."""
        self._file.close()
