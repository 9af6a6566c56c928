"""Placeholders: a value fills exactly its place in the URL, and keeps its type in the body."""

from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
from atrium.tools.http.template import Values, fill_json, fill_url
from atrium.tools.model import ToolRetry
from hypothesis import given
from hypothesis import strategies as st

URL = "https://api.example/v1/{first}/a-{second}?fixed=1&third={third}"
HOSTILE = st.one_of(
    st.text(), st.sampled_from(["../x", "@evil.example", "//evil.example", "?a=b", "#f", "%2e%2e", "\r\n"])
)


@given(first=HOSTILE, second=HOSTILE, third=HOSTILE, fourth=HOSTILE)
def test_arguments_change_only_their_places(first: str, second: str, third: str, fourth: str) -> None:
    values = Values({"first": first, "second": second, "third": third, "fourth": fourth})
    try:
        url = fill_url(URL, {"fourth": "{fourth}"}, values)
    except ToolRetry:
        assert (
            not first or {".", ".."} & set(f"{first}/{second}".replace("\\", "/").split("/")) or "%2" in first + second
        )
        return
    parts = urlsplit(url)
    assert (parts.scheme, parts.netloc, parts.fragment) == ("https", "api.example", "")
    assert [unquote(each) for each in parts.path.split("/")] == ["", "v1", first, f"a-{second}"]
    pairs = [("fixed", "1"), ("third", third), ("fourth", fourth)]
    assert parse_qsl(parts.query, keep_blank_values=True) == pairs


@pytest.mark.parametrize("value", ["", ".", "..", "../admin", "a/../b", "..\\admin", "x/.", "./x"])
def test_a_value_cannot_leave_its_path_segment(value: str) -> None:
    with pytest.raises(ToolRetry, match="path of the URL"):
        fill_url("https://api.example/v1/{value}/end", {}, Values({"value": value}))


@pytest.mark.parametrize(("segment", "value"), [(".{value}", "."), ("%2e{value}", "."), ("{value}{value}", ".")])
def test_a_value_cannot_complete_a_path_segment_of_dots(segment: str, value: str) -> None:
    with pytest.raises(ToolRetry, match="path of the URL"):
        fill_url(f"https://api.example/{segment}", {}, Values({"value": value}))


def test_values_that_are_not_text_are_written_as_json() -> None:
    values = Values({"a": True, "b": 1.5, "c": [1, 2]})
    assert fill_url("https://h/{a}/{b}?c={c}", {}, values) == "https://h/true/1.5?c=%5B1%2C2%5D"


def test_an_optional_parameter_is_omitted() -> None:
    assert fill_url("https://h/?a={a}&b={b}&c={c}", {"d": "{d}"}, Values({"b": None, "c": 0})) == "https://h/?c=0"
    assert fill_url("https://h/?a={a}", {}, Values()) == "https://h/"


@pytest.mark.parametrize("value", ["text", 7, 1.5, True, None, [1, {"a": "{b}"}], {"a": []}])
def test_a_value_keeps_its_type_in_a_body(value: Any) -> None:
    body = {"given": "{value}", "list": ["{value}", 1], "fixed": {"{value}": None}}
    assert fill_json(body, Values({"value": value})) == {"given": value, "list": [value, 1], "fixed": {"{value}": None}}


def test_texts_in_a_body() -> None:
    values = Values({"name": "Ann", "n": 3}, {"KEY": "s3cret"})
    assert fill_json("query { user(name: {name}) } {n}", values) == "query { user(name: Ann) } 3"
    assert fill_json({"key": "{{secret.KEY}}", "both": "{name}:{{secret.KEY}}"}, values) == {
        "key": "s3cret",
        "both": "Ann:s3cret",
    }


def test_members_without_an_argument_are_omitted() -> None:
    assert fill_json({"a": "{a}", "b": ["{a}", "{b}"]}, Values({"b": 1})) == {"b": [1]}


def test_values_are_not_expanded_again() -> None:
    values = Values({"a": "{b} {{secret.KEY}}", "b": "no"}, {"KEY": "s3cret"})
    assert fill_json({"a": "{a}", "b": "x {a}"}, values) == {"a": "{b} {{secret.KEY}}", "b": "x {b} {{secret.KEY}}"}
    assert "s3cret" not in fill_url("https://h/?a={a}", {}, values)
