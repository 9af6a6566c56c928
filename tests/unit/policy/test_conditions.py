"""Conditions of policies: validation, evaluation, and conversion to and from JSON."""

from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
from atrium.policy.conditions import Conditions
from atrium.policy.engine import compile_conditions, judge
from atrium.policy.model import Circumstances
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.builders.runtimes import NOON


def holds(
    wanted: dict[str, Any], *, at: str = "2026-11-21T12:00:00Z", ip: str = "", plan: str = "", amount: str | None = None
) -> bool | None:
    moment = datetime.fromisoformat(at)
    found = Circumstances(moment, ip, plan, None if amount is None else Decimal(amount))
    return judge(compile_conditions(Conditions.model_validate(wanted)), found)


@pytest.mark.parametrize(
    ("time", "at", "answer"),
    [
        ({"after": "2026-11-21T12:00:00Z"}, "2026-11-21T12:00:00Z", True),
        ({"after": "2026-11-21T12:00:01Z"}, "2026-11-21T12:00:00Z", False),
        ({"before": "2026-11-21T12:00:00Z"}, "2026-11-21T12:00:00Z", False),
        ({"before": "2026-11-21T13:00:01+01:00"}, "2026-11-21T12:00:00Z", True),
        ({"days": ["sat"]}, "2026-11-21T12:00:00Z", True),
        ({"days": ["mon", "sun"]}, "2026-11-21T12:00:00Z", False),
        ({"days": ["sun"], "zone": "Asia/Shanghai"}, "2026-11-21T16:00:00Z", True),
        ({"hours": {"from": "09:00", "to": "12:00"}}, "2026-11-21T12:00:00Z", False),
        ({"hours": {"from": "12:00", "to": "12:01"}}, "2026-11-21T12:00:59Z", True),
        ({"hours": {"from": "22:00", "to": "06:00"}}, "2026-11-21T23:00:00Z", True),
        ({"hours": {"from": "22:00", "to": "06:00"}}, "2026-11-21T06:00:00Z", False),
        ({"hours": {"from": "13:00", "to": "14:00"}, "zone": "Europe/Berlin"}, "2026-11-21T12:00:00Z", True),
        ({"hours": {"from": "14:00", "to": "15:00"}, "zone": "Europe/Berlin"}, "2026-07-21T12:00:00Z", True),
        ({"days": ["fri"], "zone": "Asia/Shanghai"}, "9999-12-31T23:59:59Z", True),
    ],
)
def test_evaluates_times(time: dict[str, Any], at: str, answer: bool) -> None:
    assert holds({"time": time}, at=at) is answer


@pytest.mark.parametrize(
    ("wanted", "ip", "answer"),
    [
        ({"any_of": ["203.0.113.0/24"]}, "203.0.113.9", True),
        ({"any_of": ["203.0.113.0/24"]}, "203.0.114.9", False),
        ({"any_of": ["203.0.113.9"]}, "::ffff:203.0.113.9", True),
        ({"any_of": ["2001:db8::/32", "10.0.0.0/8"]}, "2001:db8::1", True),
        ({"none_of": ["203.0.113.9"]}, "203.0.113.9", False),
        ({"none_of": ["203.0.113.9"]}, "203.0.113.8", True),
        ({"any_of": ["203.0.113.0/24"], "none_of": ["203.0.113.9"]}, "203.0.113.9", False),
        ({"any_of": ["0.0.0.0/0"]}, "", None),
        ({"none_of": ["0.0.0.0/0"]}, "nonsense", None),
    ],
)
def test_evaluates_ip_addresses(wanted: dict[str, Any], ip: str, answer: bool | None) -> None:
    assert holds({"ip": wanted}, ip=ip) is answer


def test_evaluates_plans_and_amounts() -> None:
    assert holds({"plan": ["pro", "enterprise"]}, plan="pro") is True
    assert holds({"plan": ["pro"]}, plan="free") is False
    assert holds({"plan": ["pro"]}) is None
    assert holds({"amount": {"min": "0", "max": 100}}, amount="100") is True
    assert holds({"amount": {"min": "0.01"}}, amount="0.009") is False
    assert holds({"amount": {"min": "0.01"}}) is None


def test_an_unmet_condition_overrides_an_unknown_one() -> None:
    assert holds({"plan": ["pro"], "amount": {"min": "1"}}, plan="free") is False
    assert holds({"plan": ["pro"], "amount": {"min": "1"}}, plan="pro") is None
    assert holds({}) is True


@pytest.mark.parametrize(
    "wanted",
    [
        {"weather": "rain"},
        {"time": {}},
        {"ip": {}},
        {"amount": {}},
        {"time": {"after": "yesterday"}},
        {"time": {"after": "2026-11-21T12:00:00"}},
        {"time": {"days": []}},
        {"time": {"days": ["someday"]}},
        {"time": {"hours": {"from": "9:00", "to": "12:00"}}},
        {"time": {"hours": {"from": "24:00", "to": "12:00"}}},
        {"time": {"hours": {"from": "09:00", "to": "09:00"}}},
        {"time": {"hours": {"from": "09:00"}}},
        {"time": {"days": ["mon"], "zone": "Mars/Olympus"}},
        {"time": {"days": ["mon"], "zone": "../../etc/passwd"}},
        {"time": {"days": ["mon"], "zone": "Europe"}},
        {"ip": {"any_of": []}},
        {"ip": {"any_of": ["203.0.113.1/24"]}},
        {"ip": {"any_of": ["example.com"]}},
        {"ip": {"any_of": [3405803777]}},
        {"plan": []},
        {"plan": ["gold"]},
        {"plan": "pro"},
        {"amount": {"min": 1.5}},
        {"amount": {"min": True}},
        {"amount": {"min": "NaN"}},
        {"amount": {"max": "Infinity"}},
        {"amount": {"max": "1e400"}},
        {"amount": {"max": "much"}},
    ],
)
def test_rejects_invalid_conditions(wanted: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Conditions.model_validate(wanted)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "plan": st.lists(st.sampled_from(["free", "pro"]), min_size=1, unique=True),
            "amount": st.fixed_dictionaries({"min": st.decimals(-1000, 1000, places=6).map(str)}),
            "ip": st.fixed_dictionaries({"any_of": st.lists(st.ip_addresses().map(str), min_size=1, max_size=3)}),
            "time": st.fixed_dictionaries(
                {"after": st.just("2026-11-21T12:00:00.000Z"), "hours": st.just({"from": "09:00", "to": "12:00"})}
            ),
        },
    )
)
def test_round_trip_through_json(wanted: dict[str, Any]) -> None:
    read = Conditions.model_validate(wanted)
    assert Conditions.model_validate_json(read.model_dump_json(exclude_unset=True)) == read
    assert read.model_dump(mode="json", exclude_unset=True) == wanted


def test_noon_is_a_saturday() -> None:
    assert NOON.weekday() == 5  # the examples above need a Saturday
