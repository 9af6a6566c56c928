"""Times in a request near the limits of the calendar are rejected and never cause an internal error."""

import pytest
from pydantic_core import SchemaValidator, ValidationError

from tests.builders.request_fields import nodes, request_fields

TIMES = {
    found.name: above for field in request_fields() for found, above in nodes(field)
    if found.schema["type"] in {"datetime", "date", "time", "timedelta"}
}  # fmt: skip


def test_finds_all_times() -> None:
    assert "GET /v1/audit query.from" in TIMES
    assert "POST /v1/policies body.conditions.time.after" in TIMES
    assert "GET /v1/usage query.from" in TIMES


@pytest.mark.parametrize("name", TIMES)
@pytest.mark.parametrize(
    "text",
    ["9999-12-31T23:59:59-05:00", "0001-01-01T00:00:00+05:00", "1969-12-31T23:59:59Z", "2026-W01-1T00:00:00Z"],
)
def test_rejects_times_outside_the_calendar(name: str, text: str) -> None:
    outermost = next(schema for schema in reversed(TIMES[name]) if schema["type"] == "function-before")
    with pytest.raises(ValidationError):
        SchemaValidator(outermost).validate_python(text)
