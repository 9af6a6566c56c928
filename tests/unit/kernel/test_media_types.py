"""Media types: letter case, spaces and unknown parameters do not change the type."""

import re

import pytest
from atrium.kernel.media_types import read_media_type, read_quality
from hypothesis import given
from hypothesis import strategies as st

from infra.runtime.template import ROOT

TOKENS = st.from_regex(r"[A-Za-z0-9!#$&^_.+-]{1,12}", fullmatch=True)
SPACES = st.sampled_from(["", " ", "  ", "\t"])


@given(st.lists(st.tuples(SPACES, TOKENS, TOKENS, st.booleans()), max_size=4), st.booleans())
def test_parameters_do_not_change_the_type(parameters: list[tuple[str, str, str, bool]], upper: bool) -> None:
    header = "application/json" + "".join(
        f"{space};{space}x-{name}=" + (f'"{value}; {value}"' if quoted else value)
        for space, name, value, quoted in parameters
    )
    assert read_media_type(header.upper() if upper else header) == ("application/json", "")


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("application/json;charset=UTF-8", ("application/json", "utf-8")),
        ('application/json; version=1; charset="utf-8"', ("application/json", "utf-8")),
        ("application/json; charset=utf-16", ("application/json", "utf-16")),
        ("application/json;", ("application/json", "")),
        ("application/jsonp", ("application/jsonp", "")),
        ("text/plain; x=application/json", ("text/plain", "")),
        ("", ("", "")),
        (";", ("", "")),
    ],
)
def test_types_and_charsets(header: str, expected: tuple[str, str]) -> None:
    assert read_media_type(header) == expected


@pytest.mark.parametrize(
    ("accept", "json", "events"),
    [
        ("application/json", 1, 0),
        ("application/json;q=0.9, text/event-stream;q=0.1", 0.9, 0.1),
        ("Application/JSON; charset=utf-8", 1, 0),
        ("*/*", 1, 1),
        ("application/*;q=0.5, */*;q=0.1", 0.5, 0.1),
        ("application/json;q=0, */*", 0, 1),
        ("application/json-seq", 0, 0),
        ("application/json;q=much", 0, 0),
        ("", 0, 0),
    ],
)
def test_parses_the_accept_header(accept: str, json: float, events: float) -> None:
    assert (read_quality(accept, "application/json"), read_quality(accept, "text/event-stream")) == (json, events)


def test_no_other_module_parses_media_types() -> None:
    """Comparing the text of the header would reject valid parameters, or accept a longer type with the same prefix."""
    raw = re.compile(
        r'headers\.get\("(?:content-type|accept)"[^\n]*\)(?:\.|\s*==|\s*in\b)|in \w+\.headers\.get\("content-type"'
    )
    sources = [path for folder in ("layers/core/atrium", "functions") for path in (ROOT / folder).rglob("*.py")]
    assert [path.name for path in sources if raw.search(path.read_text())] == []
