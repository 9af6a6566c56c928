"""Each log entry is formatted as one line, without colours in the file and with colours on a terminal."""

import re

from infra.local.logs.entries import Entry
from infra.local.logs.render import recolour, render
from tests.unit.local.builders import read_clock


def entry(message: str = "done", **changes: object) -> Entry:
    fields: dict[str, object] = {"time": read_clock(), "component": "chat", "level": "INFO", "message": message}
    return Entry(**(fields | changes))  # type: ignore[arg-type]  # fields by name


def test_plain_line() -> None:
    line = render(entry(level="WARNING", request_id="6f1c", details=(("ms", "12"),)), colours=False)
    assert line == "09:30:15.123 WARN  chat         done ms=12 req=6f1c"


def test_trace_has_lines_of_its_own() -> None:
    first, second = render(entry(trace=("  File x",)), colours=False).split("\n")
    assert first.endswith("done")
    assert second == f"{'':18} chat           File x"


def test_escapes_line_breaks_and_control_characters() -> None:
    line = render(entry("a\nb\x1b[2Jc", details=(("k", "v\r\nw"),)), colours=False)
    assert line.endswith("a b\\x1b[2Jc k=v  w")


def test_colours_change_no_character() -> None:
    shown = entry(level="ERROR", request_id="6f1c", details=(("ms", "12"),))
    coloured = render(shown, colours=True)
    assert "\x1b[31m" in coloured
    assert re.sub(r"\x1b\[\d*m", "", coloured) == render(shown, colours=False)


def test_plain_lines_can_be_coloured_later() -> None:
    plain = render(entry(level="WARNING", request_id="6f1c"), colours=False)
    coloured = recolour(plain)
    assert "\x1b[33m" in coloured
    assert re.sub(r"\x1b\[\d*m", "", coloured) == plain
    assert recolour("ready: http://127.0.0.1:8080") == "ready: http://127.0.0.1:8080"
