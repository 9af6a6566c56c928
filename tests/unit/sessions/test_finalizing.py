"""The end of a turn after a failure of the table, after the sweeper ended the turn, or after another turn took over."""

from collections.abc import Callable
from typing import Any

import pytest
from atrium.agent.turn import COMMIT_PAUSES_SECONDS, Turn
from atrium.llm.model import Usage
from atrium.quotas.model import SLOT_LEASE_SECONDS
from atrium.runs.model import RUN_LEASE_SECONDS, RunEvent, Spend
from atrium.runs.steps import unrecorded_text
from atrium.storage import keys
from atrium.storage.writes import EXISTS, Update
from atrium.usage.sums import contributions, merge

from tests.builders.counters import counted, held
from tests.builders.records import build_events
from tests.builders.scripted import CUT
from tests.builders.tenant_env import TenantEnv, types_of
from tests.builders.wires import Outage, Send

LAPSE = SLOT_LEASE_SECONDS + 2


def assert_usable(tenant_env: TenantEnv, turn: Turn) -> None:
    """Assert that the session accepts a message, has a valid history, and counts each turn once."""
    events = tenant_env.talk("again", session_id=turn.run.session_id)
    assert events[-1].type == "final"
    assert [item["sk"]["S"] for item in tenant_env.items("LEDGER#")].count(turn.run.id) == 1
    session = tenant_env.sessions().get(turn.run.session_id)
    assert session is not None
    assert session.turn is None
    assert session.message_count == len(tenant_env.messages_of(session.id))
    assert session.turn_count == 2
    entries = [entry for entry, _ in tenant_env.ledger().read_month("2026-11") if entry.session_id == session.id]
    sums = merge(contributions(entry) for entry in entries)
    assert session.usage == {key.day: figures for key, figures in sums.items() if key.group == "TOTAL"}


def fail_from(first: int, last: int = 10**6) -> Callable[[int, str], bool]:
    return lambda number, _: first <= number <= last


@pytest.mark.parametrize("step", [0, 1, 2, 3], ids=["ledger", "commit", "settle", "session"])
@pytest.mark.parametrize("failures", [1, 2])
def test_retries_a_step_after_a_transient_failure(tenant_env: TenantEnv, step: int, failures: int) -> None:
    turn = tenant_env.begin()
    before = tenant_env.clock.now
    with tenant_env.intercepted(Outage(fail_from(step, step + failures - 1))):
        events = list(turn.events())
    assert types_of(events) == ["start", "text", "usage", "final"]
    assert tenant_env.run_of(events).status == "succeeded"
    waited = (tenant_env.clock.now - before).total_seconds()
    assert waited == sum(COMMIT_PAUSES_SECONDS[:failures])
    assert_usable(tenant_env, turn)


@pytest.mark.parametrize("step", [0, 1], ids=["ledger", "commit"])
def test_leaves_a_step_that_keeps_failing_to_the_sweeper(tenant_env: TenantEnv, step: int) -> None:
    tenant_env.model.say("One, ", "two.")
    turn = tenant_env.begin()
    with tenant_env.intercepted(Outage(fail_from(step))):
        events = list(turn.events())
    assert types_of(events) == ["start", "text", "text", "error"]
    assert events[-1].data["code"] == "UNAVAILABLE"
    tenant_env.clock.advance(LAPSE)
    assert tenant_env.sweep().closed == 1
    run = tenant_env.run_of(events)
    assert run.outcome is not None
    assert run.outcome.error is not None
    assert (run.status, run.outcome.error.code) == ("failed", "RUN_INTERRUPTED")
    entry = tenant_env.entry_of(run.id)
    assert entry.tokens == run.spend.tokens
    assert entry.estimated is (step == 0)
    assert (entry.tokens == Usage(100, 20)) is (step > 0)
    assert held(tenant_env) == []
    assert_usable(tenant_env, turn)


@pytest.mark.parametrize("step", [2, 3], ids=["settle", "session"])
def test_slot_and_session_are_released_later_after_an_outage(tenant_env: TenantEnv, step: int) -> None:
    """The sweeper releases the slot, and the next turn takes over the session."""
    turn = tenant_env.begin()
    with tenant_env.intercepted(Outage(fail_from(step))):
        events = list(turn.events())
    assert types_of(events) == ["start", "text", "error"]
    run = tenant_env.run_of(events)
    assert run.status == "succeeded"
    assert [event.type for event in tenant_env.replay(run.id)] == ["start", "text", "usage", "final"]
    tenant_env.clock.advance(LAPSE)
    assert (tenant_env.sweep().closed, held(tenant_env), counted(tenant_env, "tokens_per_month")) == (
        0,
        [],
        run.spend.total_tokens,
    )
    assert_usable(tenant_env, turn)


def test_reports_an_unexpected_error_without_its_text(tenant_env: TenantEnv) -> None:
    def fail(_operation: str, _arguments: object, _send: Send) -> Any:
        raise KeyError("inside")

    turn = tenant_env.begin()
    with tenant_env.intercepted(fail):
        events = list(turn.events())
    assert events[-1].data["code"] == "INTERNAL"
    assert "inside" not in str(events)
    tenant_env.clock.advance(LAPSE)
    tenant_env.sweep()
    assert_usable(tenant_env, turn)


def stored_then(tenant_env: TenantEnv, then: Callable[[], object]) -> Turn:
    """Return a turn that calls `then` in the middle of its answer, after the first events were stored."""
    tenant_env.model.say("One, ", lambda: tenant_env.clock.advance(3), "two, ", then, "three, ", "four.")
    return tenant_env.begin()


def die(tenant_env: TenantEnv, turn: Turn) -> list[RunEvent]:
    """Read the first four events of a turn, then stop, as if the process had been killed. Return the events."""
    seen: list[RunEvent] = []
    reader = turn.events()
    for event in reader:
        seen.append(event)
        if len(seen) == 4:
            break
    reader.close()
    return seen


def test_closes_a_dead_workers_run_with_its_stored_events(tenant_env: TenantEnv) -> None:
    turn = stored_then(tenant_env, lambda: None)
    seen = die(tenant_env, turn)
    tenant_env.runs().renew(turn.run.id, now=tenant_env.clock(), spend=Spend(CUT, {"calculator": 1}, 77))
    tenant_env.clock.advance(LAPSE)
    report = tenant_env.sweep()
    assert (report.looked_at, report.closed, report.failed) == (1, 1, 0)
    session = tenant_env.sessions().get(turn.run.session_id)
    assert session is not None
    assert (session.turn, session.turn_count) == (None, 1)
    run = tenant_env.run_of(seen)
    assert run.outcome is not None
    assert run.outcome.swept
    assert [message.text for message in run.messages] == ["Hi", "One, two, "]
    own = turn.started.admitted.reservation.own
    assert CUT.prompt_tokens + CUT.output_tokens < run.spend.total_tokens == own.tokens
    assert (run.spend.tool_calls, run.spend.cost_nanos) == ({"calculator": 1}, own.cost_nanos)
    entry = tenant_env.entry_of(run.id)
    assert (entry.tokens, entry.cost_nanos, entry.status) == (run.spend.tokens, own.cost_nanos, "failed")
    assert (entry.estimated, held(tenant_env)) == (True, [])
    assert (tenant_env.sweep().looked_at, run.ended_at) == (0, tenant_env.clock.now)
    assert_usable(tenant_env, turn)


def test_tokens_that_were_only_reserved_are_an_estimate_though_they_cost_nothing_more(tenant_env: TenantEnv) -> None:
    turn = stored_then(tenant_env, lambda: None)
    die(tenant_env, turn)
    own = turn.started.admitted.reservation.own
    tenant_env.runs().renew(turn.run.id, now=tenant_env.clock(), spend=Spend(CUT, {}, own.cost_nanos))
    tenant_env.clock.advance(LAPSE)
    tenant_env.sweep()
    entry = tenant_env.entry_of(turn.run.id)
    assert (entry.total_tokens, entry.cost_nanos, entry.estimated) == (own.tokens, own.cost_nanos, True)


def test_closes_a_cancelled_dead_run_as_cancelled(tenant_env: TenantEnv) -> None:
    turn = stored_then(tenant_env, lambda: None)
    seen = die(tenant_env, turn)
    tenant_env.runs().request_cancel(turn.run.id)
    tenant_env.clock.advance(LAPSE)
    tenant_env.sweep()
    run = tenant_env.run_of(seen)
    assert run.outcome is not None
    assert (run.status, run.outcome.stop_reason, run.outcome.error) == ("cancelled", "cancelled", None)
    assert types_of(tenant_env.replay(run.id))[-2:] == ["usage", "final"]


def test_does_not_close_a_run_with_a_valid_lease(tenant_env: TenantEnv) -> None:
    turn = tenant_env.begin()
    tenant_env.clock.advance(RUN_LEASE_SECONDS - 1)
    assert tenant_env.sweep().closed == 0
    events = list(turn.events())
    assert events[-1].type == "final"
    assert_usable(tenant_env, turn)


def test_a_worker_after_its_lease_does_not_end_its_run_again(tenant_env: TenantEnv) -> None:
    """A worker that resumes after its lease expired does not end the run a second time."""

    def sleep() -> None:
        tenant_env.clock.advance(LAPSE)
        assert tenant_env.sweep().closed == 1

    turn = stored_then(tenant_env, sleep)
    events = list(turn.events())
    assert types_of(events) == ["start", "text", "text", "text", "text", "error"]
    assert [event.sequence for event in events] == list(range(1, 7))
    assert events[-1].data["code"] == "RUN_INTERRUPTED"
    run = tenant_env.run_of(events)
    assert [message.text for message in run.messages] == ["Hi", "One, two, "]
    assert run.status == "failed"
    assert_usable(tenant_env, turn)


@pytest.mark.parametrize("call", range(8))
def test_worker_and_sweeper_end_a_run_once_in_any_order(tenant_env: TenantEnv, call: int) -> None:
    """Either the worker or the sweeper ends the run, and the run equals its ledger entry."""
    turn = stored_then(tenant_env, lambda: None)
    reader = turn.events()
    events = [next(reader) for _ in range(5)]
    tenant_env.clock.advance(LAPSE)
    made: list[str] = []

    def wake(operation: str, _arguments: object, send: Send) -> Any:
        made.append(operation)
        if len(made) == call + 1:
            events.extend(reader)
        return send()

    with tenant_env.intercepted(wake):
        swept = tenant_env.finalizer().close_expired(turn.run.id)
    events.extend(reader)
    run = tenant_env.run_of(events)
    entry = tenant_env.entry_of(run.id)
    assert run.outcome is not None
    assert run.outcome.swept is swept
    assert (entry.tokens, entry.cost_nanos) == (run.spend.tokens, run.spend.cost_nanos)
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    assert events[-1].type == ("error" if swept else "final")
    assert_usable(tenant_env, turn)


def test_an_unreadable_run_does_not_stop_the_sweep(tenant_env: TenantEnv) -> None:
    turns = [tenant_env.begin() for _ in range(4)]
    poisoned = turns[0].run
    tenant_env.table().write(Update(keys.run(poisoned.id), "SET #question = :broken", EXISTS, {"broken": b"broken"}))
    tenant_env.clock.advance(LAPSE)
    report = tenant_env.sweep()
    assert (report.looked_at, report.closed, report.failed) == (4, 3, 1)
    assert len(tenant_env.defects) == 1


def test_concurrent_sweepers_close_a_run_once(tenant_env: TenantEnv) -> None:
    turn = stored_then(tenant_env, lambda: None)
    die(tenant_env, turn)
    tenant_env.clock.advance(LAPSE)
    second: list[int] = []

    def sweep_too(_operation: str, _arguments: object, send: Send) -> Any:
        if not second:
            second.append(0)
            second.append(tenant_env.sweep().closed)
        return send()

    with tenant_env.intercepted(sweep_too):
        first = tenant_env.sweep().closed
    assert first + second[1] == 1
    assert_usable(tenant_env, turn)


def test_text_of_events() -> None:
    assert unrecorded_text([*build_events(2, 3), RunEvent(4, "tool_call", {})], ()) == "piece 2 piece 3 "
