"""The field types of request bodies accept only values in their format."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from atrium.http.models import FreeJson, ListOf, Money, StrictModel, Timestamp, read_decimal_text
from pydantic import ValidationError


class Body(StrictModel):
    at: Timestamp | None = None
    price: Money | None = None
    free: FreeJson | None = None


def nested(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(depth - 1):
        value = {"in": value}
    return value


def test_times_and_money_are_read_and_written_as_text() -> None:
    body = Body.model_validate({"at": "2026-11-21T13:00:00+01:00", "price": "0.100000"})
    assert (body.at, body.price) == (datetime(2026, 11, 21, 12, tzinfo=UTC), Decimal("0.1"))
    assert body.model_dump(mode="json", exclude_none=True) == {"at": "2026-11-21T12:00:00.000Z", "price": "0.100000"}


@pytest.mark.parametrize("price", ["", "1,5", "1e", "0x1", "one", "1" * 33, "NaN", "Infinity", "1_000", " 1", 1, 1.5])
def test_rejects_invalid_money(price: object) -> None:
    with pytest.raises(ValidationError):
        Body.model_validate({"price": price})


@pytest.mark.parametrize("at", ["", "2026-11-21", "2026-11-21T12:00:00", "yesterday", 0, "2026-13-01T00:00:00Z"])
def test_rejects_invalid_times(at: object) -> None:
    with pytest.raises(ValidationError):
        Body.model_validate({"at": at})


def test_bounds_depth_and_size_of_free_json() -> None:
    assert Body.model_validate({"free": nested(16)}).free == nested(16)
    assert Body.model_validate({"free": {"list": [1, 2.5, None, True, "é"]}}).free is not None
    for refused in [nested(17), {"x": "y" * 32_000}, {"x": ["é" * 16_000]}]:
        with pytest.raises(ValidationError):
            Body.model_validate({"free": refused})


def test_unknown_fields_are_refused_and_values_frozen() -> None:
    with pytest.raises(ValidationError):
        Body.model_validate({"other": 1})
    with pytest.raises(ValidationError):
        Body().__setattr__("price", Decimal(1))


def test_a_list_is_named_after_its_items() -> None:
    assert ListOf[Body].__name__ == "BodyList"


@pytest.mark.parametrize("text", ["", " 1", "+1", "-1", "1.0", "1e3", "1_0", "٣", "²", "9" * 19])
def test_digits_only(text: str) -> None:
    with pytest.raises(ValueError, match="decimal digits"):
        read_decimal_text(text)
