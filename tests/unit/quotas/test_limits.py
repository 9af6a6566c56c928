"""Limits: their precedence, their validation, and the table that defines them."""

from typing import get_args

import pytest
from atrium.kernel.errors import ValidationFailed
from atrium.quotas.limits import (
    DEFINITIONS,
    SUBJECT_LIMITS,
    ends_at,
    read_limits,
    resolve_limits,
    show_limit,
    show_limits,
    tenant_limits,
    validate_limits,
    window_seconds,
)
from atrium.quotas.model import SLOTS_MAX, LimitName, ScopeLimits
from atrium.tenants.plans import PLANS

from tests.builders.quota_items import NOON, SECOND

DAY = 86_400


def test_defines_each_limit_once() -> None:
    assert list(DEFINITIONS) == list(get_args(LimitName.__value__))
    letters = [(each.place, each.letter, each.span) for each in DEFINITIONS.values() if each.letter]
    assert len(set(letters)) == len(letters)


def test_precedence_is_tenant_then_plan_then_default() -> None:
    limits = resolve_limits("free", {"requests_per_minute": 7, "tokens_per_month": None, "cost_per_month": -1})
    assert (limits["requests_per_minute"], limits["tokens_per_month"], limits["cost_per_month"]) == (7, 100_000, -1)
    assert resolve_limits("starter", {})["cost_per_month"] == 20_000_000_000
    for plan in PLANS:
        assert resolve_limits(plan, {}).keys() == DEFINITIONS.keys()
        for name, each in DEFINITIONS.items():
            if name not in PLANS[plan].limits:
                assert resolve_limits(plan, {})[name] == each.default


def test_ignores_unknown_stored_limits() -> None:
    assert read_limits({"limits": {"users": 3, "per_fortnight": 4}}) == {"users": 3}
    assert read_limits(None) == read_limits({}) == {}
    assert tenant_limits({"plan": "free", "limits": {"users": 3, "gone": 1}})["users"] == 3


@pytest.mark.parametrize("configured", [(-1, SLOTS_MAX), (0, 0), (5, 5), (128, 128), (1_000, SLOTS_MAX)])
def test_concurrent_turns_always_have_a_limit(configured: tuple[int, int]) -> None:
    limits = ScopeLimits("tenant", {"concurrent_turns": configured[0]})
    assert limits.maximum("concurrent_turns") == configured[1]
    assert limits.maximum("users") == -1


@pytest.mark.parametrize(
    ("name", "value", "kind"),
    [
        ("requests_per_minute", -2, "invalid_limit"),
        ("requests_per_minute", 1.5, "invalid_limit"),
        ("requests_per_minute", True, "invalid_limit"),
        ("requests_per_minute", "5", "invalid_limit"),
        ("requests_per_minute", [], "invalid_limit"),
        ("requests_per_minute", 60_001, "limit_too_high"),
        ("concurrent_turns", 129, "limit_too_high"),
        ("requests_per_hour", 5, "unknown_limit"),
        ("", 5, "unknown_limit"),
        ("cost_per_month", "1.0000001", "invalid_limit"),
        ("cost_per_month", "-0.5", "invalid_limit"),
        ("cost_per_month", "-1.0", "invalid_limit"),
        ("cost_per_month", "1e3", "invalid_limit"),
        ("cost_per_month", "١", "invalid_limit"),
        ("cost_per_month", "1\n", "invalid_limit"),
        ("cost_per_month", "01", "invalid_limit"),
        ("cost_per_month", 5, "invalid_limit"),
        ("cost_per_month", -1.0, "invalid_limit"),
        ("cost_per_month", "99999999", "limit_too_high"),
    ],
)
def test_names_an_invalid_limit(name: str, value: object, kind: str) -> None:
    with pytest.raises(ValidationFailed) as failure:
        validate_limits({name: value, "users": 5})
    errors = failure.value.extensions["errors"]
    assert isinstance(errors, list)
    assert [(error["loc"], error["type"]) for error in errors] == [(["body", name], kind)]


def test_rejects_tenant_limits_for_subjects() -> None:
    for name in DEFINITIONS:
        if name in SUBJECT_LIMITS:
            assert validate_limits({name: -1}, known=SUBJECT_LIMITS) == {name: -1}
        else:
            with pytest.raises(ValidationFailed):
                validate_limits({name: -1}, known=SUBJECT_LIMITS)


@pytest.mark.parametrize(
    ("name", "value", "figure", "shown"),
    [
        ("cost_per_month", "0.000001", 1_000, "0.000001"),
        ("cost_per_month", "20", 20_000_000_000, "20.000000"),
        ("cost_per_month", "0", 0, "0.000000"),
        ("cost_per_month", -1, -1, -1),
        ("cost_per_month", "-1", -1, -1),
        ("concurrent_turns", 0, 0, 0),
        ("requests_per_day", -1, -1, -1),
    ],
)
def test_parses_and_shows_limits(name: LimitName, value: object, figure: int, shown: object) -> None:
    assert validate_limits({name: value}) == {name: figure}
    assert show_limit(name, figure) == shown
    assert validate_limits(show_limits({name: figure})) == {name: figure}


def test_enforces_the_maximum_of_each_limit() -> None:
    for name, each in DEFINITIONS.items():
        assert validate_limits({name: show_limit(name, each.maximum)}) == {name: each.maximum}
        with pytest.raises(ValidationFailed):
            validate_limits({name: show_limit(name, each.maximum + 1_000)})


def test_null_means_the_plans_limit() -> None:
    assert validate_limits({"users": None, "cost_per_month": None}) == {"users": None, "cost_per_month": None}


def test_window_ends() -> None:
    midnight, december = SECOND + DAY // 2, SECOND + 9 * DAY + DAY // 2
    january = december + 31 * DAY
    assert ends_at("day", NOON) == ends_at("day", midnight - 0.001) == midnight
    assert ends_at("day", midnight) == midnight + DAY
    assert ends_at("month", NOON) == ends_at("month", december - 0.001) == december
    assert ends_at("month", december) == january
    assert [window_seconds(span, december) for span in ("minute", "day", "month", "slots")] == [60, DAY, 31 * DAY, None]
    assert ends_at("slots", NOON) is ends_at("minute", NOON) is None
    counters = [
        DEFINITIONS[name].counter(december) for name in ("tokens_per_minute", "sessions_per_day", "cost_per_month")
    ]
    assert counters == ["tn", "sd20261201", "cm202612"]
