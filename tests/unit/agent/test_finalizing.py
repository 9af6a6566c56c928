"""The end of a turn when something is in its way: a busy table, a sweeper that was first, a session taken back."""

from collections.abc import Callable
from typing import Any

import pytest
from atrium.agent.finalizing import partial_text
from atrium.agent.turn import COMMIT_PAUSES_SECONDS, Turn
from atrium.llm.model import Usage
from atrium.quotas.model import LEASE_SECONDS as SLOT_LEASE_SECONDS
from atrium.runs.model import LEASE_SECONDS, RunEvent, Spend
from atrium.storage import keys
from atrium.storage.writes import EXISTS, Update
from atrium.usage.sums import contributions, merge

from tests.builders.counters import counted, held
from tests.builders.house import House, types_of
from tests.builders.records import build_events
from tests.builders.scripted import CUT
from tests.builders.wires import Outage, Send

LAPSE = SLOT_LEASE_SECONDS + 2


def assert_usable(house: House, turn: Turn) -> None:
    """The session takes its next message, is shown a valid history, and ledger and session have each turn once."""
    events = house.talk("again", session_id=turn.run.session_id)
    assert events[-1].type == "final"
    assert [item["sk"]["S"] for item in house.items("LEDGER#")].count(turn.run.id) == 1
    session = house.sessions().get(turn.run.session_id)
    assert session is not None
    assert session.turn is None
    assert session.message_count == len(house.messages_of(session.id))
    assert session.turn_count == 2
    entries = [entry for entry, _ in house.ledger().read_month("2026-11") if entry.session_id == session.id]
    sums = merge(contributions(entry) for entry in entries)
    assert session.usage == {key.day: figures for key, figures in sums.items() if key.group == "TOTAL"}


def fail_from(first: int, last: int = 10**6) -> Callable[[int, str], bool]:
    return lambda number, _: first <= number <= last


@pytest.mark.parametrize("step", [0, 1, 2, 3], ids=["ledger", "commit", "settle", "session"])
@pytest.mark.parametrize("failures", [1, 2])
def test_a_step_that_fails_for_a_moment_is_done_again(house: House, step: int, failures: int) -> None:
    turn = house.begin()
    before = house.clock.now
    with house.intercepted(Outage(fail_from(step, step + failures - 1))):
        events = list(turn.events())
    assert types_of(events) == ["start", "text", "usage", "final"]
    assert house.run_of(events).status == "succeeded"
    waited = (house.clock.now - before).total_seconds()
    assert waited == sum(COMMIT_PAUSES_SECONDS[:failures])
    assert_usable(house, turn)


@pytest.mark.parametrize("step", [0, 1], ids=["ledger", "commit"])
def test_a_step_that_goes_on_failing_is_told_and_left_to_the_sweeper(house: House, step: int) -> None:
    house.model.say("One, ", "two.")
    turn = house.begin()
    with house.intercepted(Outage(fail_from(step))):
        events = list(turn.events())
    assert types_of(events) == ["start", "text", "text", "error"]
    assert events[-1].data["code"] == "UNAVAILABLE"
    house.clock.turn(LAPSE)
    assert house.sweep().closed == 1
    run = house.run_of(events)
    assert run.outcome is not None
    assert run.outcome.error is not None
    assert (run.status, run.outcome.error.code) == ("failed", "RUN_INTERRUPTED")
    entry = house.entry_of(run.id)
    assert entry.tokens == run.spend.tokens
    assert entry.estimated is (step == 0)
    assert (entry.tokens == Usage(100, 20)) is (step > 0)
    assert held(house) == []
    assert_usable(house, turn)


@pytest.mark.parametrize("step", [2, 3], ids=["settle", "session"])
def test_a_slot_and_a_session_that_could_not_be_given_back_are_later(house: House, step: int) -> None:
    """The slot by the sweeper, the session by its next turn."""
    turn = house.begin()
    with house.intercepted(Outage(fail_from(step))):
        events = list(turn.events())
    assert types_of(events) == ["start", "text", "error"]
    run = house.run_of(events)
    assert run.status == "succeeded"
    assert [event.type for event in house.replay(run.id)] == ["start", "text", "usage", "final"]
    house.clock.turn(LAPSE)
    assert (house.sweep().closed, held(house), counted(house, "tokens_per_month")) == (0, [], run.spend.total_tokens)
    assert_usable(house, turn)


def test_a_defect_in_closing_is_told_without_its_text(house: House) -> None:
    def fail(_operation: str, _arguments: object, _send: Send) -> Any:
        raise KeyError("inside")

    turn = house.begin()
    with house.intercepted(fail):
        events = list(turn.events())
    assert events[-1].data["code"] == "INTERNAL"
    assert "inside" not in str(events)
    house.clock.turn(LAPSE)
    house.sweep()
    assert_usable(house, turn)


def stored_then(house: House, then: Callable[[], object]) -> Turn:
    """A turn whose first pieces are stored before `then` happens in the middle of its answer."""
    house.model.say("One, ", lambda: house.clock.turn(3), "two, ", then, "three, ", "four.")
    return house.begin()


def die(house: House, turn: Turn) -> list[RunEvent]:
    """Read a turn's events until its process is killed before it could end anything."""
    seen: list[RunEvent] = []
    reader = turn.events()
    for event in reader:
        seen.append(event)
        if len(seen) == 4:
            break
    reader.close()
    return seen


def test_a_worker_that_died_is_closed_with_what_was_stored(house: House) -> None:
    turn = stored_then(house, lambda: None)
    seen = die(house, turn)
    house.runs().renew(turn.run.id, now=house.clock(), spend=Spend(CUT, {"calculator": 1}, 77))
    house.clock.turn(LAPSE)
    report = house.sweep()
    assert (report.looked_at, report.closed, report.failed) == (1, 1, 0)
    run = house.run_of(seen)
    assert run.outcome is not None
    assert run.outcome.swept
    assert [message.text for message in run.messages] == ["Hi", "One, two, "]
    own = turn.started.admitted.reservation.own
    assert CUT.prompt_tokens + CUT.output_tokens < run.spend.total_tokens == own.tokens
    assert (run.spend.tool_calls, run.spend.cost_nanos) == ({"calculator": 1}, own.cost_nanos)
    entry = house.entry_of(run.id)
    assert (entry.tokens, entry.cost_nanos, entry.status) == (run.spend.tokens, own.cost_nanos, "failed")
    assert (entry.estimated, held(house)) == (True, [])
    assert (house.sweep().looked_at, run.ended_at) == (0, house.clock.now)
    assert_usable(house, turn)


def test_a_cancelled_worker_that_died_is_cancelled(house: House) -> None:
    turn = stored_then(house, lambda: None)
    seen = die(house, turn)
    house.runs().request_cancel(turn.run.id)
    house.clock.turn(LAPSE)
    house.sweep()
    run = house.run_of(seen)
    assert run.outcome is not None
    assert (run.status, run.outcome.stop_reason, run.outcome.error) == ("cancelled", "cancelled", None)
    assert types_of(house.replay(run.id))[-2:] == ["usage", "final"]


def test_a_living_worker_is_left_alone(house: House) -> None:
    turn = house.begin()
    house.clock.turn(LEASE_SECONDS - 1)
    assert house.sweep().closed == 0
    events = list(turn.events())
    assert events[-1].type == "final"
    assert_usable(house, turn)


def test_the_sweeper_is_first(house: House) -> None:
    """The worker slept for longer than its lease and wakes in the middle of its answer."""

    def sleep() -> None:
        house.clock.turn(LAPSE)
        assert house.sweep().closed == 1

    turn = stored_then(house, sleep)
    events = list(turn.events())
    assert types_of(events) == ["start", "text", "text", "text", "text", "error"]
    assert [event.sequence for event in events] == list(range(1, 7))
    assert events[-1].data["code"] == "RUN_INTERRUPTED"
    run = house.run_of(events)
    assert [message.text for message in run.messages] == ["Hi", "One, two, "]
    assert run.status == "failed"
    assert_usable(house, turn)


@pytest.mark.parametrize("call", range(8))
def test_the_worker_wakes_between_two_calls_of_the_sweeper(house: House, call: int) -> None:
    """However they cross, one of them ends the run, and run and ledger say the same."""
    turn = stored_then(house, lambda: None)
    reader = turn.events()
    events = [next(reader) for _ in range(5)]
    house.clock.turn(LAPSE)
    made: list[str] = []

    def wake(operation: str, _arguments: object, send: Send) -> Any:
        made.append(operation)
        if len(made) == call + 1:
            events.extend(reader)
        return send()

    with house.intercepted(wake):
        swept = house.finalizer().close_expired(turn.run.id)
    events.extend(reader)
    run = house.run_of(events)
    entry = house.entry_of(run.id)
    assert run.outcome is not None
    assert run.outcome.swept is swept
    assert (entry.tokens, entry.cost_nanos) == (run.spend.tokens, run.spend.cost_nanos)
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    assert events[-1].type == ("error" if swept else "final")
    assert_usable(house, turn)


def test_one_run_that_cannot_be_read_does_not_keep_the_others_open(house: House) -> None:
    turns = [house.begin() for _ in range(4)]
    poisoned = turns[0].run
    house.table().write(Update(keys.run(poisoned.id), "SET #question = :broken", EXISTS, {"broken": b"broken"}))
    house.clock.turn(LAPSE)
    report = house.sweep()
    assert (report.looked_at, report.closed, report.failed) == (4, 3, 1)
    assert len(house.defects) == 1


def test_sweepers_of_the_same_minute_close_once(house: House) -> None:
    turn = stored_then(house, lambda: None)
    die(house, turn)
    house.clock.turn(LAPSE)
    second: list[int] = []

    def sweep_too(_operation: str, _arguments: object, send: Send) -> Any:
        if not second:
            second.append(0)
            second.append(house.sweep().closed)
        return send()

    with house.intercepted(sweep_too):
        first = house.sweep().closed
    assert first + second[1] == 1
    assert_usable(house, turn)


def test_text_of_events() -> None:
    assert partial_text([*build_events(2, 3), RunEvent(4, "tool_call", {})]) == "piece 2 piece 3 "
