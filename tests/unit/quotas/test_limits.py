"""Limits: which hold, what may be asked, and how a decision shows in headers."""

import pytest
from atrium.kernel.errors import ValidationFailed
from atrium.quotas.headers import rate_limit_headers
from atrium.quotas.limits import resolve_limits, show_limit, validate_limits
from atrium.quotas.model import Admitted, Hold, LimitName, Reading, Refused

from tests.unit.quotas.rooms import make_run_id


def test_the_tenants_own_come_before_the_plans() -> None:
    limits = resolve_limits("free", {"requests_per_minute": 7, "tokens_per_month": None, "cost_per_month": -1})
    assert limits["requests_per_minute"] == 7
    assert limits["tokens_per_month"] == 100_000
    assert limits["cost_per_month"] == -1
    assert resolve_limits("starter", {})["cost_per_month"] == 20_000_000_000


@pytest.mark.parametrize(
    ("name", "value", "kind"),
    [
        ("requests_per_minute", -2, "invalid_limit"),
        ("requests_per_minute", 1.5, "invalid_limit"),
        ("requests_per_minute", True, "invalid_limit"),
        ("requests_per_minute", "5", "invalid_limit"),
        ("requests_per_minute", 60_001, "limit_too_high"),
        ("requests_per_hour", 5, "unknown_limit"),
        ("cost_per_month", "1.0000001", "invalid_limit"),
        ("cost_per_month", "-0.5", "invalid_limit"),
        ("cost_per_month", "1e3", "invalid_limit"),
        ("cost_per_month", "١", "invalid_limit"),
        ("cost_per_month", 5, "invalid_limit"),
        ("cost_per_month", "99999999", "limit_too_high"),
    ],
)
def test_a_limit_that_makes_no_sense_is_named(name: str, value: object, kind: str) -> None:
    with pytest.raises(ValidationFailed) as failure:
        validate_limits({name: value, "users": 5})
    errors = failure.value.extensions["errors"]
    assert isinstance(errors, list)
    assert [(error["loc"], error["type"]) for error in errors] == [(["body", name], kind)]


@pytest.mark.parametrize(
    ("name", "value", "figure", "shown"),
    [
        ("cost_per_month", "0.000001", 1_000, "0.000001"),
        ("cost_per_month", "20", 20_000_000_000, "20.000000"),
        ("cost_per_month", -1, -1, -1),
        ("concurrent_turns", 0, 0, 0),
        ("requests_per_day", -1, -1, -1),
    ],
)
def test_a_limit_is_read_and_shown(name: LimitName, value: object, figure: int, shown: object) -> None:
    assert validate_limits({name: value}) == {name: figure}
    assert show_limit(name, figure) == shown


def test_null_is_the_plans() -> None:
    assert validate_limits({"users": None}) == {"users": None}


READINGS = (
    Reading("requests_per_minute", "tenant", 1, 60, 161),
    Reading("cost_per_month", "tenant", 5_000_000, 1_000_000_000, 500),
    Reading("concurrent_turns", "user", 2, 2, None),
)


def test_headers_of_a_decision() -> None:
    admitted = Admitted(Hold(make_run_id(), 0, 0, 0, 0), READINGS)
    assert rate_limit_headers(admitted, 100.5) == {
        "RateLimit-Policy": '"requests_per_minute";q=60;w=60, "cost_per_month";q=1000000;w=2678400;qu="microdollars", '
        '"user.concurrent_turns";q=2;qu="concurrent-requests"',
        "RateLimit": '"requests_per_minute";r=59;t=61, "cost_per_month";r=995000;t=400, "user.concurrent_turns";r=0',
    }
    refused = Refused("requests_per_minute", "tenant", 60, 60, 161, 61, READINGS)
    assert rate_limit_headers(refused, 100.5)["Retry-After"] == "61"
    assert rate_limit_headers(Refused("users", "tenant", 5, 5, None, None), 0) == {}
