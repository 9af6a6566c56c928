"""Reads fields of the JSON objects that a provider sends. A field of a wrong type raises `AnswerBroken`."""

from collections.abc import Mapping
from typing import Any

from atrium.llm.answer import AnswerBroken


def read_object(value: object, name: str) -> Mapping[str, Any]:
    """Return an object. `name` describes it in the error."""
    if not isinstance(value, dict):
        raise AnswerBroken(f"{name} is not an object")
    return value


def read_list(fields: Mapping[str, Any], name: str) -> list[Any]:
    """Return a list. If it is absent or null, return an empty list."""
    value = fields.get(name)
    if value is None:
        return []
    if not isinstance(value, list):
        raise AnswerBroken(f"{name} is not a list")
    return value


def read_index(fields: Mapping[str, Any]) -> int:
    """Return the field `index`, which is a whole number of at least 0."""
    index = fields.get("index")
    if not isinstance(index, int) or isinstance(index, bool) or index < 0:
        raise AnswerBroken("the index of a block is not a whole number")
    return index


def read_text(fields: Mapping[str, Any], name: str, *, required: bool = False) -> str:
    """Return a text field. If it is absent or null and not required, return ""."""
    value = fields.get(name)
    if value is None and not required:
        return ""
    if not isinstance(value, str):
        raise AnswerBroken(f"{name} is not a string")
    return value
