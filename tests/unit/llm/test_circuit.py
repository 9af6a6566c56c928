"""The circuit breaker: when it permits calls, and how containers share its state."""

from typing import Any

import pytest
from atrium.kernel.errors import CircuitOpen
from atrium.llm.circuit import OPEN_SECONDS, OUTAGES_MAX, OUTAGES_SECONDS, SUCCESSES_NEEDED, TRIALS_MAX, CircuitState
from atrium.llm.resilience import REMEMBERED_SECONDS, CircuitBreaker
from atrium.storage.table import PhysicalTable, PlatformTable
from hypothesis import given
from hypothesis import strategies as st

from tests.builders.deployments import counting
from tests.builders.refusals import refusing
from tests.builders.runtimes import TurnedClock
from tests.builders.wires import intercepted, lose_replies

MODEL = "claude-haiku-5-5"


@pytest.fixture
def clock() -> TurnedClock:
    return TurnedClock()


@pytest.fixture
def breakers(physical_table: PhysicalTable, clock: TurnedClock) -> tuple[CircuitBreaker, CircuitBreaker]:
    """The circuit breakers of two containers, on the same table."""
    table = PlatformTable(physical_table)
    return CircuitBreaker(table, clock), CircuitBreaker(table, clock)


def is_open(breaker: CircuitBreaker) -> bool:
    try:
        breaker.admit(MODEL)
    except CircuitOpen:
        return True
    return False


def open_circuit(breaker: CircuitBreaker) -> None:
    for _ in range(OUTAGES_MAX):
        breaker.admit(MODEL)
        breaker.record_outage(MODEL)


def test_outages_seen_by_one_container_open_the_circuit_for_another(
    breakers: tuple[CircuitBreaker, CircuitBreaker], clock: TurnedClock
) -> None:
    one, other = breakers
    other.admit(MODEL)
    open_circuit(one)
    assert is_open(one)
    clock.advance(REMEMBERED_SECONDS)
    assert is_open(other)


def test_outages_of_several_containers_add_up(breakers: tuple[CircuitBreaker, CircuitBreaker]) -> None:
    for number in range(OUTAGES_MAX):
        breakers[number % 2].record_outage(MODEL)
    assert is_open(breakers[0])


def test_retry_after_is_the_time_of_the_next_trial(
    breakers: tuple[CircuitBreaker, CircuitBreaker], clock: TurnedClock
) -> None:
    open_circuit(breakers[0])
    clock.advance(12)
    with pytest.raises(CircuitOpen) as refused:
        breakers[0].admit(MODEL)
    assert refused.value.retry_after_seconds == OPEN_SECONDS - 12
    clock.advance(OPEN_SECONDS - 13)
    assert is_open(breakers[0])
    clock.advance(1)
    assert not is_open(breakers[0])


def test_half_open_admits_three_trials_and_closes_after_three_successes(
    breakers: tuple[CircuitBreaker, CircuitBreaker], clock: TurnedClock
) -> None:
    one, other = breakers
    open_circuit(one)
    clock.advance(OPEN_SECONDS)
    assert [is_open(breaker) for breaker in (one, other, one, other)] == [False, False, False, True]
    for _ in range(SUCCESSES_NEEDED - 1):
        one.record_success(MODEL)
    assert is_open(other)
    other.record_success(MODEL)
    assert not is_open(one)
    one.record_outage(MODEL)
    assert not is_open(one)


def test_an_outage_in_a_trial_opens_the_circuit_again(
    breakers: tuple[CircuitBreaker, CircuitBreaker], clock: TurnedClock
) -> None:
    open_circuit(breakers[0])
    clock.advance(OPEN_SECONDS)
    breakers[1].admit(MODEL)
    breakers[1].record_outage(MODEL)
    clock.advance(OPEN_SECONDS - 1)
    assert is_open(breakers[0])
    clock.advance(1)
    assert not is_open(breakers[0])


def test_trials_whose_containers_died_are_replaced_after_30_seconds(
    breakers: tuple[CircuitBreaker, CircuitBreaker], clock: TurnedClock
) -> None:
    open_circuit(breakers[0])
    clock.advance(OPEN_SECONDS)
    for _ in range(TRIALS_MAX):
        breakers[0].admit(MODEL)
    assert is_open(breakers[1])
    clock.advance(OPEN_SECONDS)
    assert not is_open(breakers[1])


def test_outages_of_different_minutes_do_not_add_up(
    breakers: tuple[CircuitBreaker, CircuitBreaker], clock: TurnedClock
) -> None:
    for _ in range(3 * OUTAGES_MAX):
        breakers[0].record_outage(MODEL)
        clock.advance(OUTAGES_SECONDS / 2 + 1)
    assert not is_open(breakers[0])


def test_answers_of_other_calls_do_not_hide_outages(breakers: tuple[CircuitBreaker, CircuitBreaker]) -> None:
    for _ in range(OUTAGES_MAX):
        breakers[0].record_outage(MODEL)
        breakers[1].record_success(MODEL)
    assert is_open(breakers[0])


def test_models_have_separate_circuits(breakers: tuple[CircuitBreaker, CircuitBreaker]) -> None:
    open_circuit(breakers[0])
    breakers[0].admit("claude-sonnet-5-5")


def test_a_healthy_model_costs_one_read_in_ten_seconds(
    breakers: tuple[CircuitBreaker, CircuitBreaker], physical_table: PhysicalTable, clock: TurnedClock
) -> None:
    with counting(physical_table) as calls:
        for _ in range(REMEMBERED_SECONDS):
            assert not breakers[0].admit(MODEL)
            clock.advance(1)
    assert calls == ["GetItem"]


def test_a_write_whose_reply_was_lost_counts_once(
    breakers: tuple[CircuitBreaker, CircuitBreaker], physical_table: PhysicalTable
) -> None:
    with intercepted(physical_table.client, lose_replies):
        for _ in range(OUTAGES_MAX - 1):
            breakers[0].record_outage(MODEL)
    assert not is_open(breakers[1])
    breakers[0].record_outage(MODEL)
    assert is_open(breakers[0])


@pytest.mark.parametrize("operation", ["GetItem", "PutItem"])
def test_calls_are_made_while_the_table_does_not_answer(
    breakers: tuple[CircuitBreaker, CircuitBreaker], physical_table: PhysicalTable, operation: str, clock: TurnedClock
) -> None:
    open_circuit(breakers[0])
    clock.advance(OPEN_SECONDS)
    with refusing(physical_table, operation, "InternalServerError"):
        breakers[1].admit(MODEL)
        breakers[1].record_outage(MODEL)
        breakers[1].record_success(MODEL)


@given(st.lists(st.tuples(st.sampled_from(["call", "outage", "success"]), st.integers(0, 40)), max_size=60))
def test_a_circuit_is_never_stuck(steps: list[tuple[str, int]]) -> None:
    """After any sequence of calls, the circuit permits a call within 30 seconds.

    Its counters stay within their limits.
    """
    state, now = CircuitState(), 1_000_000
    changes: dict[str, Any] = {
        "call": lambda: state if state.is_closed or state.wait_seconds(now) else state.with_trial(now),
        "outage": lambda: state.with_outage(now),
        "success": lambda: state.with_success(),  # noqa: PLW0108 - `state` changes
    }
    for step, seconds in steps:
        state = changes[step]()
        assert state.wait_seconds(now) <= OPEN_SECONDS
        assert state.trials <= TRIALS_MAX
        assert state.outages < OUTAGES_MAX
        assert state.successes < SUCCESSES_NEEDED
        now += seconds
    assert state.wait_seconds(now + OPEN_SECONDS) == 0
