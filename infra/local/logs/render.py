"""Formats an entry as one line with time, level, component, message, details and request id.

The lines of a traceback follow, indented.
"""

import re
from collections.abc import Iterator

from infra.local.logs.entries import Entry

_RESET, _DIM = "\x1b[0m", "\x1b[2m"
_LEVEL_COLOURS = {"DEBUG": "\x1b[2m", "INFO": "\x1b[32m", "WARNING": "\x1b[33m", "ERROR": "\x1b[31m"}
_COMPONENT_COLOURS = tuple(f"\x1b[{number}m" for number in (36, 35, 34, 96, 95, 94, 92, 93))
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_PLAIN = re.compile(r"(\d\d:\d\d:\d\d\.\d{3}) (DEBUG|INFO |WARN |ERROR) (\S+ *) (.*)")
_SHOWN_LEVELS = {"WARNING": "WARN"}
_FULL_LEVELS = {"WARN": "WARNING"}


def render(entry: Entry, *, colours: bool) -> str:
    """Return the formatted entry without a final line break."""
    return "\n".join(_lines(entry, colours=colours))


def recolour(line: str) -> str:
    """Add colour to a line that was formatted without colours."""
    matched = _PLAIN.match(line)
    if matched is None:
        return f"{_DIM}{line}{_RESET}" if line.startswith(" ") else line
    time, level, component, rest = matched.groups()
    name = _FULL_LEVELS.get(level.strip(), level.strip())
    return f"{_DIM}{time}{_RESET} {_paint_level(name, level)} {_paint_component(component)} {rest}"


def level_of(line: str) -> str | None:
    """Return the level of a line that begins an entry, or None for another line."""
    matched = _PLAIN.match(line)
    return None if matched is None else _FULL_LEVELS.get(matched[2].strip(), matched[2].strip())


def _lines(entry: Entry, *, colours: bool) -> Iterator[str]:
    time = f"{entry.time:%H:%M:%S}.{entry.time.microsecond // 1000:03d}"
    level = f"{_SHOWN_LEVELS.get(entry.level, entry.level):5}"
    component = f"{entry.component:12}"
    details = "".join(f" {name}={_one_line(value)}" for name, value in entry.details)
    tail = f" req={entry.request_id}" if entry.request_id else ""
    message = _one_line(entry.message)
    if entry.continued:
        yield _dim(f"{'':18} {component} {message}", colours=colours)
        return
    if colours:
        head = f"{_DIM}{time}{_RESET} {_paint_level(entry.level, level)} {_paint_component(component)}"
        yield f"{head} {message}{_DIM}{details}{tail}{_RESET}"
    else:
        yield f"{time} {level} {component} {message}{details}{tail}"
    for line in entry.trace:
        yield _dim(f"{'':18} {component} {_one_line(line)}", colours=colours)


def _paint_level(level: str, text: str) -> str:
    return f"{_LEVEL_COLOURS[level]}{text}{_RESET}"


def _paint_component(text: str) -> str:
    colour = _COMPONENT_COLOURS[sum(text.strip().encode()) % len(_COMPONENT_COLOURS)]
    return f"{colour}{text}{_RESET}"


def _dim(text: str, *, colours: bool) -> str:
    return f"{_DIM}{text}{_RESET}" if colours else text


def _one_line(text: str) -> str:
    """Escape line breaks and control characters, because a message may contain text from a client."""
    return _CONTROL.sub(lambda found: " " if found[0] in "\t\n\r" else f"\\x{ord(found[0]):02x}", text).rstrip()
