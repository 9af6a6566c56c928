"""The conditions of routing rules, and the order in which rules are tried."""

from datetime import UTC, datetime
from typing import Any

import pytest
from atrium.kernel.ids import RoutingRuleId
from atrium.routing.matching import RoutedMessage, explain_match, order_rules
from atrium.routing.model import SHIPPED, RoutingConditions, RoutingRule, RuleStatus, WeightedModel
from atrium.tenants.plans import PlanName
from pydantic import ValidationError

from tests.builders.runtimes import NOON

HARD, CODE, EASY = "Prove that there are infinitely many primes.", "Write a Python function.", "Hi"
SATURDAY_NOON = NOON


def message(text: str = EASY, *, plan: PlanName = "pro", at: datetime = NOON, tokens: int = 10) -> RoutedMessage:
    return RoutedMessage(text, plan, at, lambda: tokens)


def rule(name: str, priority: int = 0, *, number: int = 1, status: RuleStatus = "active") -> RoutingRule:
    models = (WeightedModel(model="claude-haiku-5-5"),)
    return RoutingRule(RoutingRuleId(f"rul_{number}"), name, models, NOON, NOON, priority, status=status)


def matches(when: dict[str, Any], found: RoutedMessage) -> bool:
    return explain_match(RoutingConditions.model_validate(when), found) is not None


@pytest.mark.parametrize(
    ("when", "found", "expected"),
    [
        ({}, message(), True),
        ({"complexity": "high"}, message(HARD), True),
        ({"complexity": "high"}, message(EASY), False),
        ({"needs_code": True}, message(CODE), True),
        ({"needs_code": True}, message(EASY), False),
        ({"needs_code": False}, message(EASY), True),
        ({"prompt_tokens_min": 10}, message(tokens=10), True),
        ({"prompt_tokens_min": 10}, message(tokens=9), False),
        ({"prompt_tokens_max": 10}, message(tokens=10), True),
        ({"prompt_tokens_max": 10}, message(tokens=11), False),
        ({"prompt_tokens_max": 0}, message(tokens=1), False),
        ({"plans": ["free", "pro"]}, message(plan="pro"), True),
        ({"plans": ["free"]}, message(plan="pro"), False),
        ({"weekdays": ["sat"]}, message(at=SATURDAY_NOON), True),
        ({"weekdays": ["sun"]}, message(at=SATURDAY_NOON), False),
        ({"complexity": "high", "plans": ["free"]}, message(HARD), False),
    ],
)
def test_matches_if_all_conditions_are_met(when: dict[str, Any], found: RoutedMessage, expected: bool) -> None:
    assert matches(when, found) is expected


@pytest.mark.parametrize(
    ("hours", "hour", "minute", "expected"),
    [
        (("09:00", "17:30"), 9, 0, True),
        (("09:00", "17:30"), 17, 29, True),
        (("09:00", "17:30"), 17, 30, False),
        (("22:00", "06:00"), 23, 0, True),
        (("22:00", "06:00"), 5, 59, True),
        (("22:00", "06:00"), 6, 0, False),
        (("00:00", "24:00"), 23, 59, True),
    ],
)
def test_hours_include_their_start_and_may_continue_after_midnight(
    hours: tuple[str, str], hour: int, minute: int, expected: bool
) -> None:
    at = datetime(2026, 11, 21, hour, minute, tzinfo=UTC)
    assert matches({"hours": {"from": hours[0], "to": hours[1]}}, message(at=at)) is expected


def test_hours_and_weekdays_are_local_to_the_time_zone() -> None:
    late_on_saturday = datetime(2026, 11, 21, 23, 30, tzinfo=UTC)
    sunday_in_berlin = {"hours": {"from": "00:00", "to": "01:00", "time_zone": "Europe/Berlin"}, "weekdays": ["sun"]}
    assert matches(sunday_in_berlin, message(at=late_on_saturday))
    assert not matches({"weekdays": ["sun"]}, message(at=late_on_saturday))


def test_counts_the_prompt_only_if_a_condition_needs_it() -> None:
    def fail() -> int:
        raise AssertionError("the prompt was counted")

    found = RoutedMessage(EASY, "pro", NOON, fail)
    assert not matches({"plans": ["free"], "prompt_tokens_min": 1}, found)
    assert matches({"plans": ["pro"]}, found)


def test_the_explanation_names_all_conditions() -> None:
    when = RoutingConditions(complexity="high", needs_code=False, prompt_tokens_min=1, plans=["pro"])
    expected = "plan pro, complexity high, not about code, about 10 prompt tokens"
    assert explain_match(when, message(HARD)) == expected
    assert explain_match(RoutingConditions(), message()) == "no conditions"


def test_orders_by_priority_then_own_rules_then_age() -> None:
    own = [rule("young", 5, number=3), rule("old", 5, number=2), rule("first", 11), rule("last", -1, number=4)]
    names = [each.name for each in order_rules(own)]
    assert names == ["first", "builtin:large", "old", "young", "builtin:medium", "builtin:small", "last"]


def test_ignores_disabled_rules() -> None:
    assert order_rules([rule("off", 99, status="disabled")]) == SHIPPED


@pytest.mark.parametrize(
    ("text", "expected"), [(HARD, "builtin:large"), (CODE, "builtin:medium"), (EASY, "builtin:small")]
)
def test_the_shipped_rules_choose_by_complexity_and_code(text: str, expected: str) -> None:
    matched = [each.name for each in order_rules(()) if explain_match(each.when, message(text)) is not None]
    assert matched[0] == expected


@pytest.mark.parametrize(
    "when",
    [
        {"complexity": "extreme"},
        {"needs_code": "yes"},
        {"prompt_tokens_min": 2, "prompt_tokens_max": 1},
        {"prompt_tokens_min": -1},
        {"plans": []},
        {"plans": ["gold"]},
        {"hours": {"from": "09:00", "to": "09:00"}},
        {"hours": {"from": "24:00", "to": "09:00"}},
        {"hours": {"from": "09:00", "to": "10:00", "time_zone": "Moon/Crater"}},
        {"weekdays": ["someday"]},
        {"language": "en"},
    ],
)
def test_rejects_invalid_conditions(when: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        RoutingConditions.model_validate(when)
