"""The text format of times: RFC 3339 in UTC with milliseconds. The order of the texts is the order of the times."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from atrium.kernel.clock import epoch_seconds, format_time, parse_time, read_clock, to_zone
from hypothesis import given
from hypothesis import strategies as st

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
MOMENTS = st.datetimes(min_value=datetime(1970, 1, 2), max_value=datetime(9999, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


def test_formats_a_time() -> None:
    assert format_time(NOON) == "2026-11-21T12:00:00.000Z"
    assert format_time(NOON.replace(microsecond=123_999)) == "2026-11-21T12:00:00.123Z"
    assert format_time(datetime(2026, 11, 21, 14, tzinfo=timezone(timedelta(hours=2)))) == format_time(NOON)


@given(MOMENTS)
def test_round_trip_to_the_millisecond(moment: datetime) -> None:
    assert parse_time(format_time(moment)) == moment.replace(microsecond=moment.microsecond // 1000 * 1000)


@given(MOMENTS, MOMENTS)
def test_text_sorts_by_time(left: datetime, right: datetime) -> None:
    assert format_time(min(left, right)) <= format_time(max(left, right))


@pytest.mark.parametrize(
    "text",
    ["2026-11-21T12:00:00", "yesterday", "", "2026-13-01T00:00:00Z", "2026-11-21", "20261121T120000Z",
     "2026-11-21T12:00:00+25:00", "9999-12-31T23:59:59-00:01", "0001-01-01T00:00:00+00:01", "1969-12-31T23:59:59Z"],
)  # fmt: skip
def test_rejects_invalid_times(text: str) -> None:
    with pytest.raises(ValueError, match="RFC 3339"):
        parse_time(text)


def test_accepts_all_separators_of_rfc_3339() -> None:
    assert parse_time("2026-11-21t12:00:00z") == parse_time("2026-11-21 12:00:00-00:00") == NOON
    assert format_time(parse_time("9999-12-31T23:59:59.999Z")) == "9999-12-31T23:59:59.999Z"


@given(st.integers(1, 9999), st.integers(-23, 23), st.sampled_from(["01-01T00:00:00", "12-31T23:59:59"]))
def test_accepts_or_rejects_offsets_at_the_ends_of_the_calendar(year: int, hours: int, rest: str) -> None:
    try:
        read = parse_time(f"{year:04}-{rest}{hours:+03}:00")
    except ValueError:
        return
    assert parse_time(format_time(read)) == read
    assert to_zone(read, timezone(timedelta(hours=14))) == read
    assert to_zone(read, timezone(timedelta(hours=-14))) == read


def test_seconds_are_whole_and_the_clock_is_utc() -> None:
    assert epoch_seconds(NOON + timedelta(milliseconds=999)) == int(NOON.timestamp())
    assert read_clock().tzinfo is UTC
