"""The retry policy, and the classification of errors."""

from datetime import UTC, datetime

import pytest
from atrium.kernel.errors import ModelFailed, ModelTimeout
from atrium.llm.failures import ProviderFailure, read_advice, read_retry_after
from atrium.llm.retries import RetryPolicy, is_retryable, pause_before_retry

NOW = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)


def pause(
    retries_made: int = 0, *, retry_after: float | None = None, draw: float = 1.0, remaining: float = 1_000
) -> float | None:
    return pause_before_retry(
        RetryPolicy(retries=8),
        retries_made=retries_made,
        retry_after_seconds=retry_after,
        draw=draw,
        remaining_seconds=remaining,
    )


def test_pauses_double_from_one_second_to_sixty() -> None:
    assert [pause(made) for made in range(8)] == [1, 2, 4, 8, 16, 32, 60, 60]
    assert pause(8) is None


def test_uses_full_jitter() -> None:
    assert pause(3, draw=0.0) == 0
    assert pause(3, draw=0.25) == 2


@pytest.mark.parametrize(("asked", "expected"), [(7.5, 7.5), (90.0, 90.0), (0.0, 1.0), (-3.0, 1.0), (None, 1.0)])
def test_prefers_the_providers_retry_after(asked: float | None, expected: float) -> None:
    assert pause(retry_after=asked) == expected


def test_never_waits_beyond_the_deadline() -> None:
    assert pause(5, remaining=32) is None
    assert pause(5, remaining=32.1) == 32
    assert pause(retry_after=5, remaining=4) is None


def test_classifies_statuses() -> None:
    assert all(is_retryable(status) for status in (408, 409, 429, 500, 502, 503, 504, 529))
    assert not any(is_retryable(status) for status in (400, 401, 402, 403, 404, 413, 422))


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        (ProviderFailure("connection_error"), True),
        (ProviderFailure("overloaded_error", 200), True),
        (ProviderFailure("api_error", 200), True),
        (ProviderFailure("invalid_request_error", 200), False),
        (ProviderFailure("rate_limit_error", 429), True),
        (ProviderFailure("rate_limit_error", 429, advice=False), False),
        (ProviderFailure("invalid_request_error", 400), False),
        (ProviderFailure("invalid_request_error", 400, advice=True), True),
    ],
)
def test_classifies_transient_errors(failure: ProviderFailure, expected: bool) -> None:
    assert failure.is_retryable is expected


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        (ProviderFailure("timeout_error", 504), ModelTimeout),
        (ProviderFailure("timeout_error", 408), ModelTimeout),
        (ProviderFailure("timeout_error", 200), ModelTimeout),
        (ProviderFailure("overloaded_error", 529), ModelFailed),
        (ProviderFailure("authentication_error", 401), ModelFailed),
        (ProviderFailure("connection_error"), ModelFailed),
    ],
)
def test_translates_errors(failure: ProviderFailure, kind: type[ModelFailed | ModelTimeout]) -> None:
    error = failure.to_error()
    assert type(error) is kind
    assert error.detail == kind.title
    assert failure.type in error.internal


@pytest.mark.parametrize(
    ("failure", "retryable"),
    [
        *((ProviderFailure("invalid_request_error", status), False) for status in (400, 401, 402, 403, 404, 422)),
        *((ProviderFailure("overloaded_error", status), True) for status in (409, 429, 500, 503, 529)),
        (ProviderFailure("connection_error"), True),
        (ProviderFailure("overloaded_error", 200), True),
        (ProviderFailure("something new", 200), True),  # the answer had begun, so the provider had accepted the request
        (ProviderFailure("invalid_request_error", 400, advice=True), True),
        (ProviderFailure("api_error", 500, advice=False), True),  # not retried immediately, but possibly later
        (ProviderFailure("timeout_error", 504), True),
    ],
)
def test_marks_errors_that_the_caller_may_retry(failure: ProviderFailure, retryable: bool) -> None:
    assert failure.to_error().retryable is retryable


def test_rounds_the_callers_retry_after_up() -> None:
    assert ProviderFailure("rate_limit_error", 429, retry_after_seconds=1.2).to_error().retry_after_seconds == 2
    assert ProviderFailure("rate_limit_error", 429, retry_after_seconds=-1).to_error().retry_after_seconds is None


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "3"}, 3.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after": "Sat, 21 Nov 2026 12:00:10 GMT"}, 10.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after-ms": "soon"}, None),
    ],
)
def test_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    assert read_retry_after(headers, NOW) == seconds


def test_parses_the_providers_retry_advice() -> None:
    assert read_advice({"x-should-retry": "true"}) is True
    assert read_advice({"x-should-retry": "false"}) is False
    assert read_advice({}) is None
