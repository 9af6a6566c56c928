"""Admission decisions in response headers and errors."""

from datetime import UTC, datetime

import pytest
from atrium.kernel.errors import ConcurrencyLimited, LimitReached, RateLimited
from atrium.quotas.limits import DEFINITIONS
from atrium.quotas.model import TENANT, Admitted, LimitUsage, Recorded, Rejected, Reservation, Slot
from atrium.quotas.responses import DEGRADED, full_session, limit_error, rate_limit_headers

from tests.builders.quota_items import run_id

USAGES = (
    LimitUsage("requests_per_minute", "tenant", 1, 60, 161),
    LimitUsage("tokens_per_minute", "tenant", 50, 40, 161),
    LimitUsage("cost_per_month", "tenant", 5_000_000, 1_000_000_000, 500),
    LimitUsage("concurrent_turns", "user", 2, 2, None),
)
RESERVATION = Reservation(run_id(1), {TENANT: Slot(0, 0, 0, 0, 60)})
NOW = datetime.fromtimestamp(100.5, UTC)


def test_headers_of_an_admission() -> None:
    assert rate_limit_headers(Admitted(RESERVATION, USAGES), 100.5) == {
        "RateLimit-Policy": '"requests_per_minute";q=60;w=60, "tokens_per_minute";q=40;w=60;qu="tokens", '
        '"cost_per_month";q=1000000;w=2678400;qu="microdollars", "user.concurrent_turns";q=2;qu="concurrent-requests"',
        "RateLimit": '"requests_per_minute";r=59;t=61, "tokens_per_minute";r=0;t=61, '
        '"cost_per_month";r=995000;t=400, "user.concurrent_turns";r=0',
    }
    assert rate_limit_headers(Admitted(RESERVATION), 0) == rate_limit_headers(Recorded(), 0) == {}
    assert rate_limit_headers(Admitted(RESERVATION, degraded=True), 0) == {DEGRADED: "limits"}
    assert rate_limit_headers(Recorded(degraded=True), 0) == {DEGRADED: "limits"}


def test_headers_of_a_rejection_have_the_reset_time() -> None:
    rejected = Rejected("tokens_per_minute", "tenant", 50, 40, 150, 50, USAGES)
    headers = rate_limit_headers(rejected, 100.5)
    assert headers["Retry-After"] == "50"
    assert '"tokens_per_minute";r=0;t=50' in headers["RateLimit"]
    assert '"requests_per_minute";r=59;t=61' in headers["RateLimit"]


def test_reset_times_are_per_scope() -> None:
    usages = (USAGES[0], LimitUsage("requests_per_minute", "key", 5, 5, 130))
    headers = rate_limit_headers(Rejected("requests_per_minute", "key", 5, 5, 160, 60, usages), 100)
    assert headers["RateLimit"] == '"requests_per_minute";r=59;t=61, "key.requests_per_minute";r=0;t=60'


def test_largest_values_fit_a_structured_field() -> None:
    for name, each in DEFINITIONS.items():
        headers = rate_limit_headers(Recorded((LimitUsage(name, "tenant", 0, each.maximum, None),)), 0)
        figure = headers["RateLimit"].partition(";r=")[2]
        assert len(figure) <= 15


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("requests_per_minute", RateLimited, "The key's limit requests_per_minute is 5 per minute."),
        ("concurrent_turns", ConcurrencyLimited, "The key's limit concurrent_turns is 5 at once."),
        ("platform_concurrency", ConcurrencyLimited, "The key's limit platform_concurrency is 5 at once."),
        ("requests_per_day", LimitReached, "The key's limit requests_per_day is 5 per day."),
        ("tokens_per_month", LimitReached, "The key's limit tokens_per_month is 5 per month."),
        ("cost_per_month", LimitReached, "The key's limit cost_per_month is 0.000000 per month."),
        ("users", LimitReached, "The key's limit users is 5."),
    ],
)
def test_an_error_names_limit_scope_and_maximum(name: str, error: type[LimitReached], message: str) -> None:
    found = limit_error(Rejected(name, "key", 7, 5, 161, 61), NOW)  # type: ignore[arg-type]  # the name is any text
    assert (type(found), found.detail, found.status) == (error, message, 429)
    assert (found.retryable, found.retry_after_seconds) == (True, 61)
    assert found.extensions["resets_at"] == "1970-01-01T00:02:41.000Z"
    assert found.extensions["limit"] == name
    assert "Retry-After" not in found.headers


def test_a_permanent_rejection_is_not_retryable() -> None:
    found = limit_error(full_session(50, 50), NOW)
    assert (found.retryable, found.retry_after_seconds, found.extensions["resets_at"]) == (False, None, None)
    assert found.headers["RateLimit"] == '"session.messages_per_session";r=0'


def test_money_is_decimal_text() -> None:
    found = limit_error(Rejected("cost_per_month", "tenant", 1_000_000, 1_500_000, None, None), NOW)
    assert (found.extensions["used"], found.extensions["max"]) == ("0.001000", "0.001500")
