"""Quota decisions: which calls are admitted, which amounts remain, and when a rejected call can be retried."""

from collections.abc import Sequence
from math import inf
from typing import Any

import pytest
from atrium.quotas import decisions, planning
from atrium.quotas.item import AdmissionItem
from atrium.quotas.limits import DEFINITIONS
from atrium.quotas.model import (
    TENANT,
    AdmissionRequest,
    Estimate,
    LimitName,
    Rejected,
    ScopeLimits,
    Slot,
    Used,
)
from atrium.quotas.planning import NewSlot
from atrium.storage import keys
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.builders.memory_table import MemoryTable
from tests.builders.quota_items import NOON, SECOND, SWEEP, ItemBench, run_id, run_name

DAY = 86_400
MIDNIGHT = SECOND + DAY // 2
DECEMBER = SECOND + 9 * DAY + DAY // 2


def request(tokens: int = 0, cost_nanos: int = 0, *, estimate: Estimate | None = None) -> AdmissionRequest:
    return AdmissionRequest(run_id(1), tokens, cost_nanos, estimate=estimate)


def item(now: float = NOON, **attributes: Any) -> AdmissionItem:
    return AdmissionItem({"at": SECOND, "v": 1, "slots": {}, "late": {}, **attributes}, now)


def fit_turn(wanted: AdmissionRequest, seen: decisions.Seen) -> AdmissionRequest | Rejected:
    return decisions.fit(wanted, seen, decisions.turn_charges)


# --- Retry-After

HISTORIES = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 30), st.booleans()), min_size=1, max_size=12)
LIMITS = st.fixed_dictionaries(
    {},
    optional={
        "requests_per_minute": st.integers(1, 6),
        "tokens_per_minute": st.integers(30, 90),
        "requests_per_day": st.integers(1, 9),
        "sessions_per_day": st.integers(1, 5),
        "tokens_per_month": st.integers(30, 200),
    },
)


@settings(max_examples=80, derandomize=True, database=None, deadline=None)
@given(HISTORIES, LIMITS, LIMITS, st.sampled_from([NOON, MIDNIGHT - 40.5, DECEMBER - 70.25]), st.integers(0, 30))
def test_retry_after_is_exact(
    history: Sequence[tuple[int, int, bool]], of_key: Any, of_tenant: Any, start: float, tokens: int
) -> None:
    table, now = MemoryTable(), start
    scopes = (ScopeLimits("key", of_key, "key_1"), ScopeLimits("tenant", of_tenant))

    def seen(at: float) -> list[tuple[AdmissionItem, ScopeLimits]]:
        return [(AdmissionItem(table.get(keys.admission(each.id)), at), each) for each in scopes]

    for number, (seconds, amount, is_new) in enumerate(history):
        now += seconds
        turn = AdmissionRequest(run_id(number), amount, 0, is_new)
        if isinstance(fit_turn(turn, seen(now)), Rejected):
            continue
        for read, scope in seen(now):
            key, asked = keys.admission(scope.id), decisions.turn_charges(turn, scope)
            plan = planning.plan_admission(key, read, asked, NewSlot(run_name(number), amount, 0, is_new, SWEEP))
            assert plan.update is not None
            table.write(plan.update)
            assert isinstance(plan.answer, Slot)
            table.write(planning.plan_settlement(key, run_name(number), plan.answer, Used(amount, 0), None))
    wanted = AdmissionRequest(run_id(99), tokens, 0, new_session=True)
    rejected = fit_turn(wanted, seen(now))
    assume(isinstance(rejected, Rejected))
    assert isinstance(rejected, Rejected)
    wait = rejected.retry_after_seconds
    if wait is None:
        assert tokens > min(limits.get("tokens_per_month", inf) for limits in (of_key, of_tenant))
        return
    assert isinstance(fit_turn(wanted, seen(now + wait)), AdmissionRequest)
    if wait > 2:
        assert isinstance(fit_turn(wanted, seen(now + wait - 2)), Rejected)


@pytest.mark.parametrize(
    ("name", "wait"),
    [
        ("requests_per_minute", 61),
        ("requests_per_day", DAY // 2),
        ("tokens_per_month", 9 * DAY + DAY // 2),
        ("cost_per_month", 9 * DAY + DAY // 2),
        ("concurrent_turns", 1),
    ],
)
def test_each_window_resets_at_its_end(name: LimitName, wait: int) -> None:
    bench = ItemBench({name: 10 if name.endswith("month") else 1})
    bench.admit(tokens=10, cost_nanos=10)
    rejected = bench.reject(tokens=10, cost_nanos=10)
    assert (rejected.limit, rejected.retry_after_seconds) == (name, wait)
    assert rejected.resets_at is not None
    assert bench.now < rejected.resets_at <= bench.now + wait


@pytest.mark.parametrize(
    "limits", [{"concurrent_turns": 0}, {"tokens_per_minute": 9}, {"requests_per_day": 0}, {"cost_per_month": 9}]
)
def test_a_call_larger_than_the_limit_is_not_retryable(limits: Any) -> None:
    rejected = ItemBench(limits).reject(tokens=10, cost_nanos=10)
    assert (rejected.resets_at, rejected.retry_after_seconds) == (None, None)


def test_a_minute_frees_second_by_second() -> None:
    bench = ItemBench({"tokens_per_minute": 100})
    for _ in range(4):
        bench.admit(tokens=25)
        bench.now += 10
    assert [bench.reject(tokens=tokens).retry_after_seconds for tokens in (25, 26, 50, 100)] == [21, 31, 31, 51]


def test_names_the_limit_that_frees_last() -> None:
    full = item(rn=5, r09=5, rd20261121=9, tm202611=50)
    assert full.used(DEFINITIONS["requests_per_minute"]) == 5
    key = ScopeLimits("key", {"requests_per_minute": 5, "requests_per_day": 9}, "key_1")
    tenant = ScopeLimits("tenant", {"tokens_per_month": 50})
    found = fit_turn(request(10), [(full, key), (full, tenant)])
    assert isinstance(found, Rejected)
    assert (found.limit, found.scope) == ("tokens_per_month", "tenant")
    assert [(usage.scope, usage.limit) for usage in found.usages] == [
        ("tenant", "tokens_per_month"),
        ("tenant", "concurrent_turns"),
        ("key", "requests_per_minute"),
        ("key", "requests_per_day"),
        ("key", "concurrent_turns"),
    ]
    own = decisions.rejection(full, decisions.turn_charges(request(10), key))
    assert own is not None
    assert own.limit == "requests_per_day"


def test_never_sorts_after_any_time() -> None:
    key = ScopeLimits("key", {"tokens_per_minute": 5}, "key_1")
    tenant = ScopeLimits("tenant", {"tokens_per_month": 50})
    found = fit_turn(request(10), [(item(), key), (item(tm202611=45), tenant)])
    assert isinstance(found, Rejected)
    assert (found.limit, found.retry_after_seconds) == ("tokens_per_minute", None)


# --- lowered limits

ESTIMATE = Estimate(prompt_tokens=100, prompt_cost_nanos=1_000, output_tokens=400, output_token_nanos=5)


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({}, 400),
        ({"tokens_per_minute": 500}, 400),
        ({"tokens_per_minute": 499}, 399),
        ({"tokens_per_month": 300}, 200),
        ({"cost_per_month": 2_004}, 200),
        ({"tokens_per_month": 300, "tokens_per_minute": 250, "cost_per_month": 2_000}, 150),
        ({"tokens_per_month": 116}, 16),
        ({"tokens_per_month": 115}, None),
        ({"cost_per_month": 1_079}, None),
        ({"tokens_per_month": 115, "requests_per_minute": 5}, None),
    ],
)
def test_shortens_an_answer_down_to_the_minimum(limits: Any, expected: int | None) -> None:
    asked = request(ESTIMATE.tokens, ESTIMATE.cost_nanos, estimate=ESTIMATE)
    found = fit_turn(asked, [(item(), ScopeLimits("tenant", limits))])
    if expected is None:
        assert isinstance(found, Rejected)
        assert found.retry_after_seconds is None
    else:
        assert isinstance(found, AdmissionRequest)
        assert (found.tokens, found.cost_nanos) == (100 + expected, 1_000 + expected * 5)


def test_the_tightest_scope_limits_an_answer() -> None:
    asked = request(ESTIMATE.tokens, ESTIMATE.cost_nanos, estimate=ESTIMATE)
    key = ScopeLimits("key", {"tokens_per_minute": 1_000}, "key_1")
    tenant = ScopeLimits("tenant", {"tokens_per_month": 1_000})
    used = item(t09=900, tn=900)
    found = fit_turn(asked, [(item(tm202611=50), key), (item(tm202611=700), tenant)])
    assert isinstance(found, AdmissionRequest)
    assert found.tokens == 300
    found = fit_turn(asked, [(used, key), (item(), tenant)])
    assert isinstance(found, Rejected)
    assert (found.scope, found.retry_after_seconds) == ("key", 61)


def test_shortens_nothing_without_an_estimate() -> None:
    found = fit_turn(request(500), [(item(), ScopeLimits("tenant", {"tokens_per_month": 499}))])
    assert isinstance(found, Rejected)


def test_a_free_model_is_not_bounded_by_money() -> None:
    free = Estimate(100, 0, 400, 0)
    limits = ScopeLimits("tenant", {"cost_per_month": 10})
    asked = request(free.tokens, 0, estimate=free)
    assert fit_turn(asked, [(item(cm202611=10), limits)]) == asked


def test_a_further_call_uses_unused_reservation_and_the_runs_month() -> None:
    slot = Slot(DECEMBER - 1, DECEMBER - 1, 500, 3_000, DECEMBER + 60)
    limits = ScopeLimits("tenant", {"tokens_per_month": 800})
    full = item(DECEMBER + 5, at=DECEMBER + 5, tm202611=700, tm202612=10)
    asked = request(ESTIMATE.tokens, ESTIMATE.cost_nanos, estimate=ESTIMATE)
    free = decisions.without_unused(full, slot, Used(100, 1_000))
    found = decisions.fit(asked, [(free, limits)], decisions.call_charges)
    assert isinstance(found, AdmissionRequest)
    assert found.tokens == 500
    none = decisions.without_unused(full, slot, Used(500, 3_000))
    assert isinstance(decisions.fit(asked, [(none, limits)], decisions.call_charges), Rejected)


# --- limit status


def test_usages_before_and_after() -> None:
    limits = ScopeLimits("user", {"requests_per_minute": 5, "concurrent_turns": 2}, "usr_1")
    asked = decisions.turn_charges(request(), limits)
    read = item(r09=2, rn=2)
    assert [usage.used for usage in decisions.usages(read, asked)] == [2, 0]
    assert [usage.used for usage in decisions.usages(read, asked, added=True)] == [3, 1]
    assert [usage.resets_at for usage in decisions.usages(read, asked)] == [SECOND + 61, None]


def test_decides_only_charged_limits() -> None:
    limits = ScopeLimits("tenant", {"sessions_per_day": 0, "tokens_per_minute": 0, "cost_per_month": 0}, TENANT)
    assert fit_turn(request(), [(item(), limits)]) == request()
