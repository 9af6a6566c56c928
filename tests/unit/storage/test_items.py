"""Conversion of values to items and back, compared with boto3's serializer."""

from decimal import Decimal
from typing import Any

import pytest
from atrium.storage.writes import from_wire, to_wire, value_to_wire
from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from hypothesis import given
from hypothesis import strategies as st

_NUMBERS = st.integers(-(10**38) + 1, 10**38 - 1) | st.decimals(
    allow_nan=False, allow_infinity=False, places=6, min_value=-(10**20), max_value=10**20
)
_SETS = st.sets(st.text(min_size=1), min_size=1)
_SCALARS = st.none() | st.booleans() | st.text() | _NUMBERS | st.binary(min_size=1) | _SETS
_VALUES = st.recursive(_SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20)


def plain(value: Any) -> Any:
    """Return a value as it is read back from an item: whole numbers become integers."""
    match value:
        case Decimal():
            return int(value) if value == value.to_integral_value() else value
        case dict():
            return {name: plain(inner) for name, inner in value.items()}
        case list():
            return [plain(inner) for inner in value]
        case _:
            return value


def same_wire(wire: Any) -> Any:
    """Return a wire value with sorted sets and numbers as decimals, because `1E+2` equals 100."""
    ((kind, value),) = wire.items()
    match kind:
        case "SS":
            return {kind: sorted(value)}
        case "N":
            return {kind: Decimal(value)}
        case "M":
            return {kind: {name: same_wire(inner) for name, inner in value.items()}}
        case "L":
            return {kind: [same_wire(inner) for inner in value]}
        case _:
            return wire


@given(_VALUES)
def test_round_trip_equals_boto3(value: Any) -> None:
    wire = value_to_wire(value)
    assert same_wire(wire) == same_wire(TypeSerializer().serialize(value))
    assert from_wire({"name": wire}) == {"name": plain(value)}


@pytest.mark.parametrize(
    "text", ["0", "-7", "1.5", "1E+2", "100.0", "-0.000001", "99999999999999999999999999999999999999"]
)
def test_numbers_are_integers_where_they_are_whole(text: str) -> None:
    assert from_wire({"n": {"N": text}}) == {"n": plain(TypeDeserializer().deserialize({"N": text}))}
    assert isinstance(from_wire({"n": {"N": text}})["n"], Decimal) is (text in {"1.5", "-0.000001"})


@pytest.mark.parametrize("value", [1.5, object(), set(), {1, "a"}, [0.1], {"a": object()}])
def test_unsupported_types_are_a_type_error(value: Any) -> None:
    with pytest.raises(TypeError):
        to_wire({"name": value})


@pytest.mark.parametrize("value", [10**38, -(10**38), Decimal("NaN"), Decimal("Infinity"), Decimal("1." + "1" * 38)])
def test_numbers_with_too_many_digits_are_an_error(value: Any) -> None:
    with pytest.raises(ValueError, match="at most 38 digits"):
        to_wire({"name": value})


def test_omits_attributes_that_are_none() -> None:
    assert to_wire({"a": None, "b": {"c": None}}) == {"b": {"M": {"c": {"NULL": True}}}}
