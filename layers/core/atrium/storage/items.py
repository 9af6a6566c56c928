"""Converts items to and from DynamoDB's format. Numbers are integers or decimals, never floats."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from boto3.dynamodb.types import TypeDeserializer, TypeSerializer

type Item = Mapping[str, Any]
type Wire = dict[str, Any]

_serializer = TypeSerializer()
_deserializer = TypeDeserializer()


def to_wire(item: Item) -> Wire:
    """Marshal an item without the attributes that are None, so that sparse indexes stay sparse."""
    return {name: _serializer.serialize(value) for name, value in item.items() if value is not None}


def value_to_wire(value: object) -> Wire:
    wire: Any = _serializer.serialize(value)
    return dict(wire)


def from_wire(wire: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _plain(_deserializer.deserialize(value)) for name, value in wire.items()}


def _plain(value: Any) -> Any:
    match value:
        case Decimal():
            return int(value) if value == value.to_integral_value() else value
        case dict():
            return {name: _plain(inner) for name, inner in value.items()}
        case list():
            return [_plain(inner) for inner in value]
        case _ if hasattr(value, "value") and isinstance(value.value, bytes):
            return value.value
        case _:
            return value
