"""Defines writes as values, and converts items to and from DynamoDB's format.

Stores create writes; a bound table applies them.

In an expression, `#name` means the attribute `name` and needs no declaration, and `:name` means `values["name"]`.
`names` defines aliases for attributes whose names are known only at run time.

boto3's `TypeSerializer` and `TypeDeserializer` are not used. They need several times the CPU time, because they try
each type in turn and convert each number to a decimal. In this module, numbers are integers or decimals, never floats.
The SDK returns binary values as base64 text, in the same format as the table's stream (see `clients.py`).
"""

import re
from base64 import b64decode
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from atrium.kernel.errors import Forbidden
from atrium.storage.keys import Key

type Item = Mapping[str, Any]
type Wire = dict[str, Any]

DIGITS_MAX = 38
_INTEGER_END = 10**DIGITS_MAX

type Write = Put | Update | Delete
type Operation = Write | Check

NEW = "attribute_not_exists(pk)"
EXISTS = "attribute_exists(pk)"
ANY = ""
_ALIAS = re.compile(r"#(\w+)")
GRANTS = frozenset({"scopes", "permissions", "role", "roles", "default_role", "role_mapping"})
"""The names of the attributes that grant permissions, for every kind of item."""
OPERATOR = "platform"
# A connection has the scopes of an external provider (Google, Slack), which grant nothing on this platform.
_FOREIGN = "CONNECTION#"
_CLAUSES = re.compile(r",(?![^()]*\))|\b(?:SET|ADD|REMOVE|DELETE)\b")


def to_wire(item: Item) -> Wire:
    """Convert an item to DynamoDB's format. Attributes with the value None are omitted, as sparse indexes require."""
    return {name: value_to_wire(value) for name, value in item.items() if value is not None}


def value_to_wire(value: object) -> Wire:  # noqa: PLR0911 - a table of types
    """Convert a value to DynamoDB's format.

    Raises `TypeError` for an unsupported type, and `ValueError` if a number has too many digits.
    """
    match value:
        case str():
            return {"S": str(value)}
        case bool():
            return {"BOOL": value}
        case int() | Decimal():
            return {"N": _number(value)}
        case None:
            return {"NULL": True}
        case dict() | Mapping():
            return {"M": {name: value_to_wire(inner) for name, inner in value.items()}}
        case list() | tuple():
            return {"L": [value_to_wire(inner) for inner in value]}
        case bytes():
            return {"B": value}
        case Set() if value and all(isinstance(each, str) for each in value):
            return {"SS": sorted(value)}
        case _:
            raise TypeError(f"an item cannot hold a {type(value).__name__}")


def from_wire(wire: Mapping[str, Any]) -> dict[str, Any]:
    """Convert an item from DynamoDB's format."""
    return {name: _plain(value) for name, value in wire.items()}


def _number(value: int | Decimal) -> str:
    if isinstance(value, int):
        if not -_INTEGER_END < value < _INTEGER_END:
            raise ValueError(f"a number has at most {DIGITS_MAX} digits")
        return str(value)
    if not value.is_finite() or len(value.as_tuple().digits) > DIGITS_MAX:
        raise ValueError(f"a number is finite and has at most {DIGITS_MAX} digits")
    return str(value)


def _plain(wire: Mapping[str, Any]) -> Any:  # noqa: PLR0911 - a table of types
    ((kind, value),) = wire.items()
    match kind:
        case "S" | "BOOL":
            return value
        case "N":
            return _read_number(value)
        case "M":
            return {name: _plain(inner) for name, inner in value.items()}
        case "L":
            return [_plain(inner) for inner in value]
        case "NULL":
            return None
        case "SS":
            return set(value)
        case "B":
            return b64decode(value) if isinstance(value, str) else value
        case _:
            raise TypeError(f"an item holds a {kind}")


def _read_number(text: str) -> int | Decimal:
    try:
        return int(text)
    except ValueError:
        number = Decimal(text)
        return int(number) if number == number.to_integral_value() else number


@dataclass(frozen=True, slots=True)
class Put:
    """A write of a whole item. `condition` is `NEW`, `EXISTS`, `ANY` or another condition expression."""

    key: Key
    item: Item
    condition: str
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Update:
    """A conditional change of an item with an update expression. If `returns` is true, the new item is returned."""

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
    """A condition on an item that a transaction does not change."""

    key: Key
    condition: str
    values: Mapping[str, Any] = field(default_factory=dict)


def expression_arguments(*expressions: str, values: Mapping[str, Any], names: Mapping[str, str] | None = None) -> Wire:
    """Return `ExpressionAttributeNames` and `ExpressionAttributeValues` for the expressions.

    Empty mappings are omitted.
    """
    aliases = {f"#{name}": name for text in expressions for name in _ALIAS.findall(text)}
    aliases |= {f"#{alias}": attribute for alias, attribute in (names or {}).items()}
    arguments: Wire = {}
    if aliases:
        arguments["ExpressionAttributeNames"] = aliases
    if values:
        arguments["ExpressionAttributeValues"] = {f":{name}": value_to_wire(value) for name, value in values.items()}
    return arguments


def refuse_operator_grant(write: Put | Update) -> None:
    """Raise `Forbidden` if a write to a tenant's item grants the operator's scope."""
    if _is_foreign(write.key):
        return
    granted = write.item.items() if isinstance(write, Put) else _assigned(write)
    if any(name in GRANTS and _holds_operator(value) for name, value in granted):
        raise Forbidden(
            "The scope platform cannot be granted within a tenant.", internal=f"a write to {write.key.sort}"
        )


def _assigned(update: Update) -> Iterator[tuple[str, Any]]:
    """Yield the name of an attribute and a value for each value that an update expression assigns."""
    for clause in _CLAUSES.split(update.expression):
        target = re.search(r"#(\w+)", clause)
        if target is not None:
            name = update.names.get(target[1], target[1])
            yield from ((name, update.values[value]) for value in re.findall(r":(\w+)", clause))


def _holds_operator(value: object) -> bool:
    if isinstance(value, Mapping):
        return any(_holds_operator(each) for each in value.values())
    if isinstance(value, list | tuple | set | frozenset):
        return any(_holds_operator(each) for each in value)
    return value == OPERATOR


def _is_foreign(key: Key) -> bool:
    return key.sort.startswith(_FOREIGN)
