"""Times as text: RFC 3339 with milliseconds, in UTC, sorted as text."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from atrium.kernel.clock import epoch_seconds, format_time, parse_time, read_clock
from hypothesis import given
from hypothesis import strategies as st

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
MOMENTS = st.datetimes(min_value=datetime(1970, 1, 2), max_value=datetime(9999, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


def test_form() -> None:
    assert format_time(NOON) == "2026-11-21T12:00:00.000Z"
    assert format_time(NOON.replace(microsecond=123_999)) == "2026-11-21T12:00:00.123Z"
    assert format_time(datetime(2026, 11, 21, 14, tzinfo=timezone(timedelta(hours=2)))) == format_time(NOON)


@given(MOMENTS)
def test_round_trip_to_the_millisecond(moment: datetime) -> None:
    assert parse_time(format_time(moment)) == moment.replace(microsecond=moment.microsecond // 1000 * 1000)


@given(MOMENTS, MOMENTS)
def test_text_sorts_by_time(left: datetime, right: datetime) -> None:
    assert format_time(min(left, right)) <= format_time(max(left, right))


@pytest.mark.parametrize("text", ["2026-11-21T12:00:00", "yesterday", "", "2026-13-01T00:00:00Z"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_time(text)


def test_seconds_are_whole_and_the_clock_is_utc() -> None:
    assert epoch_seconds(NOON + timedelta(milliseconds=999)) == int(NOON.timestamp())
    assert read_clock().tzinfo is UTC
