"""Items as Python values, and back. Numbers are integers or decimals, never floats.

boto3's own `TypeSerializer` and `TypeDeserializer` do the same in several times the CPU: they try each type in turn and
make a decimal of each number. Binary values come as base64 text, as in the table's stream (see `clients.py`).
"""

from base64 import b64decode
from collections.abc import Mapping, Set
from decimal import Decimal
from typing import Any

type Item = Mapping[str, Any]
type Wire = dict[str, Any]

DIGITS_MAX = 38
_INTEGER_END = 10**DIGITS_MAX


def to_wire(item: Item) -> Wire:
    """Marshal an item; attributes that are None are left out, as DynamoDB's sparse indexes want it."""
    return {name: value_to_wire(value) for name, value in item.items() if value is not None}


def value_to_wire(value: object) -> Wire:  # noqa: PLR0911 - a table of types
    """Marshal a value; `TypeError` if the table has no such type, `ValueError` if a number has too many digits."""
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
    """Read an item."""
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
