"""Writes as values: a store creates them, a bound table executes them.

In expressions `#name` is the attribute `name`, without a declaration, and `:name` is `values["name"]`; `names` adds
aliases of attributes whose names are known only at run time.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from atrium.storage.items import Item, Wire, value_to_wire
from atrium.storage.keys import Key

NEW = "attribute_not_exists(pk)"
EXISTS = "attribute_exists(pk)"
ANY = ""

_ALIAS = re.compile(r"#(\w+)")


@dataclass(frozen=True, slots=True)
class Put:
    """Write a whole item. `condition` is required: `NEW`, `EXISTS`, an expression, or `ANY`."""

    key: Key
    item: Item
    condition: str
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Update:
    """Change an item by an update expression under a condition. `returns`: whether the writer wants the new item."""

    key: Key
    expression: str
    condition: str
    values: Mapping[str, Any] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    returns: bool = True


@dataclass(frozen=True, slots=True)
class Delete:
    key: Key
    condition: str
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Check:
    """Check a condition in a transaction."""

    key: Key
    condition: str
    values: Mapping[str, Any] = field(default_factory=dict)


type Write = Put | Update | Delete
type Operation = Write | Check


def expression_arguments(*expressions: str, values: Mapping[str, Any], names: Mapping[str, str] | None = None) -> Wire:
    """Return `ExpressionAttributeNames` and `…Values` for the expressions; empty ones are omitted."""
    aliases = {f"#{name}": name for text in expressions for name in _ALIAS.findall(text)}
    aliases |= {f"#{alias}": attribute for alias, attribute in (names or {}).items()}
    arguments: Wire = {}
    if aliases:
        arguments["ExpressionAttributeNames"] = aliases
    if values:
        arguments["ExpressionAttributeValues"] = {f":{name}": value_to_wire(value) for name, value in values.items()}
    return arguments
