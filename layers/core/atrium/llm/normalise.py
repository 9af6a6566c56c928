"""Normalises text, JSON, tool calls and identifiers that a model wrote, so that they can be stored and sent on.

They are untrusted. The results are valid UTF-8 text, JSON with finite numbers and bounded depth, and names and ids that
providers accept. Used on received answers (`llm.answer`), on stored runs (`runs`), and on requests (`llm.history`).
"""

import json
import re
import secrets
from collections.abc import Container, Mapping
from math import isfinite
from typing import Any

from atrium.llm.model import ToolUse

DEPTH_MAX = 32
REPLACEMENT = "\ufffd"
NOT_JSON = "The arguments are not valid JSON."
NOT_AN_OBJECT = "The arguments are not a JSON object."
NOT_FINITE = "The arguments contain a number that is not finite or too large."
TOO_DEEP = f"The arguments are nested deeper than {DEPTH_MAX} levels."
BAD_NAME = "The tool name is invalid: names have 1 to 128 letters, digits, _ or -."

_IDENTIFIER = re.compile(r"[a-zA-Z0-9_-]{1,128}")
_NOT_IDENTIFIER = re.compile(r"[^a-zA-Z0-9_-]+")
_NAME_LEFT_EMPTY = "invalid_name"
_INTEGER_BITS_MAX = 1_023  # that of a double: most JSON parsers support no larger number


def clean_text(text: str) -> str:
    """Return text with surrogate pairs joined, and U+FFFD in place of each lone surrogate."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


class TextJoiner:
    """Cleans text that is received in pieces: a surrogate pair may be split between two pieces."""

    def __init__(self) -> None:
        self._held = ""
        self.is_changed = False

    def feed(self, text: str) -> str:
        """Return the cleaned text so far; a high surrogate at the end is kept for the next piece."""
        text, self._held = self._held + text, ""
        if text and "\ud800" <= text[-1] <= "\udbff":
            text, self._held = text[:-1], text[-1]
        return self._clean(text)

    def end(self) -> str:
        """Return the rest after the last piece."""
        held, self._held = self._held, ""
        return self._clean(held)

    def _clean(self, text: str) -> str:
        cleaned = clean_text(text)
        self.is_changed |= cleaned.count(REPLACEMENT) > text.count(REPLACEMENT)
        return cleaned


def clean_json(value: object, *, depth_max: int = DEPTH_MAX) -> tuple[Any, str]:
    """Return a normalised JSON value, and the first problem with it ("" if none).

    Numbers that are not finite or too large, and values nested deeper than `depth_max` levels, become null.
    """
    problems: list[str] = []
    return _clean(value, depth_max, problems), problems[0] if problems else ""


def clean_arguments(value: object) -> tuple[dict[str, Any], str]:
    """Return normalised arguments of a tool call, and the first problem with them ("" if none)."""
    if not isinstance(value, Mapping):
        return {}, NOT_AN_OBJECT
    return clean_json(value)


def read_arguments(text: str) -> tuple[dict[str, Any], str]:
    """Parse arguments that a model wrote as JSON text, then `clean_arguments`; blank text means no arguments."""
    if not text.strip():
        return {}, ""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}, NOT_JSON
    return clean_arguments(value)


def clean_id(call_id: object, taken: Container[str]) -> str:
    """Return the id of a tool call if it is an identifier and not taken, else a new one."""
    if is_identifier(call_id) and call_id not in taken:
        return str(call_id)
    return f"call_{secrets.token_hex(12)}"


def clean_name(name: object) -> str:
    """Return a tool's name with `_` in place of characters that no provider accepts."""
    if is_identifier(name):
        return str(name)
    left = _NOT_IDENTIFIER.sub("_", name).strip("_")[:128] if isinstance(name, str) else ""
    return left or _NAME_LEFT_EMPTY


def is_identifier(text: object) -> bool:
    """Return whether every provider accepts the text as a tool's name or a call's id."""
    return isinstance(text, str) and _IDENTIFIER.fullmatch(text) is not None


def clean_call(call_id: object, name: object, arguments: Mapping[str, Any], problem: str, taken: set[str]) -> ToolUse:
    """Return a tool call that can be stored and sent back; its id is added to those that are taken.

    `problem` is the problem with the arguments. A call whose name had to be changed gets a problem too, because the new
    name may be that of a tool which the model did not mean.
    """
    call = ToolUse(clean_id(call_id, taken), clean_name(name), arguments, problem if is_identifier(name) else BAD_NAME)
    taken.add(call.id)
    return call


def _clean(value: object, levels_left: int, problems: list[str]) -> Any:
    cleaned: Any = None
    match value:
        case None | bool():
            cleaned = value
        case str():
            cleaned = clean_text(value)
        case int() if value.bit_length() <= _INTEGER_BITS_MAX:
            cleaned = value
        case float() if isfinite(value):
            cleaned = value
        case Mapping() if levels_left:
            cleaned = {clean_text(str(key)): _clean(each, levels_left - 1, problems) for key, each in value.items()}
        case list() if levels_left:
            cleaned = [_clean(each, levels_left - 1, problems) for each in value]
        case int() | float():
            problems.append(NOT_FINITE)
        case _:
            problems.append(TOO_DEEP)
    return cleaned
