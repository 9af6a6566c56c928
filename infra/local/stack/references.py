"""Finds references to missing resources and attributes. AWS rejects such a template, but the emulator accepts it."""

import re
from collections.abc import Iterator
from typing import Any

from infra.runtime.template import Document

_PLACE = re.compile(r"\$\{([^!}][^}]*)\}")


def find_unresolved(template: Document) -> str | None:
    """Return the first unresolved reference of a processed template in the form `Resource: name`, or None."""
    known = {*template["Resources"], *template.get("Parameters", {})}
    for logical_id, resource in template["Resources"].items():
        for name in _read_names(resource):
            if name not in known and not name.startswith("AWS::"):
                return f"{logical_id}: {name}"
    return None


def _read_names(value: Any) -> Iterator[str]:
    if isinstance(value, list):
        for item in value:
            yield from _read_names(item)
    elif isinstance(value, dict):
        if len(value) == 1:
            name, argument = next(iter(value.items()))
            if name == "Ref":
                yield str(argument)
            elif name == "Fn::GetAtt":
                yield argument[0] if isinstance(argument, list) else str(argument).partition(".")[0]
            elif name == "Fn::Sub":
                yield from _read_places(argument)
        for item in value.values():
            yield from _read_names(item)


def _read_places(argument: Any) -> Iterator[str]:
    text, own = (argument[0], argument[1]) if isinstance(argument, list) else (argument, {})
    for place in _PLACE.findall(text):
        if place not in own:
            yield place.partition(".")[0]
