"""Placeholders in the parts of a request: `{argument}` and `{{secret.NAME}}`.

A value fills exactly the place of its placeholder. In a URL it is percent-encoded; in a JSON body, a string that is
only a placeholder is replaced by the value with its type.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from atrium.tools.model import ToolRetry

NAME_PATTERN = r"[A-Za-z][A-Za-z0-9_]{0,63}"
_PLACEHOLDER = re.compile(
    rf"\{{\{{secret\.(?P<secret>{NAME_PATTERN})\}}\}}|\{{(?P<argument>[A-Za-z_][A-Za-z0-9_-]{{0,63}})\}}"
)
_SEPARATOR = re.compile(r"[/\\]")
_OMITTED = object()


@dataclass(frozen=True, slots=True)
class Values:
    """The values of the placeholders of one request."""

    arguments: Mapping[str, Any] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)

    def find(self, placeholder: re.Match[str]) -> Any:
        """Return the value of a placeholder, or `_OMITTED` if the call does not have this argument."""
        if placeholder["secret"]:
            return self.secrets[placeholder["secret"]]
        return self.arguments.get(placeholder["argument"], _OMITTED)


@dataclass(frozen=True, slots=True)
class Placeholder:
    """A placeholder of a text. `is_whole` means that the text is only this placeholder."""

    kind: str
    name: str
    is_whole: bool


def find_placeholders(text: str) -> Iterator[Placeholder]:
    for found in _PLACEHOLDER.finditer(text):
        kind = found.lastgroup or ""
        yield Placeholder(kind, found[kind], found[0] == text)


def with_sample(text: str, sample: str = "x") -> str:
    """Return a text with a sample value in the place of each placeholder."""
    return _PLACEHOLDER.sub(sample, text)


def query_pairs(url: str, query: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return the names and values of the parameters of a URL's own query and of `query`."""
    return [*parse_qsl(urlsplit(url).query, keep_blank_values=True), *query.items()]


def fill(text: str, values: Values, encode: Callable[[str], str] = str) -> str:
    """Replace the placeholders of a text by their encoded values. Values that are not text are written as JSON."""
    return _PLACEHOLDER.sub(lambda found: encode(_as_text(values.find(found))), text)


def fill_url(url: str, query: Mapping[str, str], values: Values) -> str:
    """Return a URL with the values in its path, and in the parameters of its own query and of `query`.

    A parameter whose value is only a placeholder is omitted if the call does not have the argument or if it is null.
    """
    parts = urlsplit(url)
    path = "/".join(_fill_segment(segment, values) for segment in parts.path.split("/"))
    pairs = [(name, fill(value, values)) for name, value in query_pairs(url, query) if not _is_absent(value, values)]
    return f"{parts.scheme}://{parts.netloc}{path}{'?' if pairs else ''}{urlencode(pairs, quote_via=quote)}"


def fill_json(value: Any, values: Values) -> Any:
    """Return a JSON value with the values of its placeholders. A member whose argument is missing is omitted."""
    if isinstance(value, str):
        whole = _PLACEHOLDER.fullmatch(value)
        return values.find(whole) if whole else fill(value, values)
    if isinstance(value, Mapping):
        members = ((name, fill_json(inner, values)) for name, inner in value.items())
        return {name: inner for name, inner in members if inner is not _OMITTED}
    if isinstance(value, list):
        return [inner for each in value if (inner := fill_json(each, values)) is not _OMITTED]
    return value


def find_texts(value: Any) -> Iterator[str]:
    """Yield the strings of a JSON value, without the names of members."""
    if isinstance(value, str):
        yield value
    for inner in value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ():
        yield from find_texts(inner)


def _fill_segment(segment: str, values: Values) -> str:
    """Return a path segment. A value cannot become several segments, even if a server decodes slashes and dots."""
    filled = fill(segment, values, encode=lambda value: quote(value, safe=""))
    decoded = unquote(filled)
    if filled != segment and (not decoded or {".", ".."} & set(_SEPARATOR.split(decoded))):
        raise ToolRetry("An argument in the path of the URL must not be empty, `.` or `..`, or contain `./` or `../`.")
    return filled


def _is_absent(text: str, values: Values) -> bool:
    whole = _PLACEHOLDER.fullmatch(text)
    return whole is not None and values.find(whole) in (_OMITTED, None)


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))
