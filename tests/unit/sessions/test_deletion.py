"""Deleting a session: gone at once, and in the end without a trace, whatever interrupts the work."""

import random
from collections.abc import Callable
from typing import Any

import pytest
from atrium.kernel.errors import NotFound, Unavailable
from atrium.kernel.ids import SessionId
from atrium.kernel.pagination import PageRequest
from atrium.runs.events import EventLog

from tests.builders.house import ADMIN, House, session_id_of
from tests.builders.records import build_events, build_outcome, build_run
from tests.builders.runtimes import NOON
from tests.builders.wires import Kill, Killed, Outage, Recorder, Send


def noise(seed: int) -> str:
    """Text that cannot be compressed to 32 kB."""
    return random.Random(seed).randbytes(40_000).hex()


def fill(house: House) -> SessionId:
    """A session with two turns, batches of events, and blobs for a question, an outcome and a batch."""
    session_id = house.open_session()
    runs = house.runs()
    run = build_run(session_id, question=noise(1))
    runs.open(run)
    log = EventLog(runs.table, runs.blobs, house.clock, run.id, house.clock())
    for event in [*build_events(2, 2), *build_events(3, 3, noise(2))]:
        house.clock.turn(3)
        log.append(event)
    runs.end(run.id, build_outcome(noise(3)), at=NOON)
    runs.open(build_run(session_id, at=house.clock()))
    return session_id


def assert_without_a_trace(house: House, session_id: SessionId) -> None:
    assert house.items("SESSION#") == []
    assert house.items("RUN#") == []
    assert house.blobs() == []
    with pytest.raises(NotFound):
        house.session_service().delete(session_id)


def test_nothing_is_left(house: House) -> None:
    session_id = fill(house)
    assert len(house.blobs()) == 3
    house.session_service().delete(session_id)
    assert_without_a_trace(house, session_id)


def test_another_session_stays(house: House) -> None:
    kept = fill(house)
    before = house.items(kept), house.messages_of(kept)
    blobs = set(house.blobs())
    house.session_service().delete(fill(house))
    assert (house.items(kept), house.messages_of(kept)) == before
    assert set(house.blobs()) == blobs


def calls_of_a_deletion(house: House) -> int:
    recorder = Recorder()
    session_id = fill(house)
    with house.intercepted(recorder):
        house.session_service().delete(session_id)
    return len(recorder.operations)


def test_a_crash_after_any_call_is_finished_by_the_next_attempt(house: House) -> None:
    calls = calls_of_a_deletion(house)
    assert calls > 10
    for number in range(calls):
        session_id = fill(house)
        with house.intercepted(Kill(number, applied=True)), pytest.raises(Killed):
            house.session_service().delete(session_id)
        if house.sessions().get(session_id, with_deleted=True) is not None:
            house.session_service(ADMIN).delete(session_id)
        assert_without_a_trace(house, session_id)


def test_a_failure_at_any_call_is_finished_by_the_next_attempt(house: House) -> None:
    for number in range(calls_of_a_deletion(house)):
        session_id = fill(house)
        with house.intercepted(Outage(at_call(number))), pytest.raises(Unavailable):
            house.session_service().delete(session_id)
        house.session_service().delete(session_id)
        assert_without_a_trace(house, session_id)


def at_call(number: int) -> Callable[[int, str], bool]:
    return lambda at, _: at == number


def test_it_is_gone_for_everyone_while_it_is_being_removed(house: House) -> None:
    session_id = fill(house)
    with house.intercepted(Outage(lambda _, operation: operation == "Query")), pytest.raises(Unavailable):
        house.session_service().delete(session_id)
    service = house.session_service(ADMIN)
    with pytest.raises(NotFound):
        service.get(session_id)
    assert service.list(PageRequest()).items == []
    with pytest.raises(NotFound):
        service.list_messages(session_id, PageRequest())
    with pytest.raises(NotFound):
        house.begin("again", session_id=session_id)


def test_two_deletions_at_once_both_end(house: House) -> None:
    session_id = fill(house)
    service = house.session_service()
    second: list[str] = []

    def delete_too(operation: str, _arguments: object, send: Send) -> Any:
        if operation == "Query" and not second:
            second.append("began")
            house.session_service().delete(session_id)
        return send()

    with house.intercepted(delete_too):
        service.delete(session_id)
    assert_without_a_trace(house, session_id)


def test_a_turn_that_runs_ends_without_a_trace_but_its_ledger_entry(house: House) -> None:
    house.model.say("One, ", lambda: house.session_service().delete(session_id), "two.")
    turn = house.begin()
    session_id = turn.run.session_id
    events = list(turn.events())
    assert events[-1].type == "error"
    assert events[-1].data["code"] == "NOT_FOUND"
    assert house.entry_of(turn.run.id).tokens.output_tokens == 20
    assert_without_a_trace(house, session_id)


def test_events_that_are_stored_after_the_deletion_go_with_the_turn(house: House) -> None:
    def delete() -> None:
        house.session_service().delete(session_id)
        house.clock.turn(10)

    house.model.say("One, ", delete, "two, ", "three.")
    turn = house.begin()
    session_id = turn.run.session_id
    list(turn.events())
    assert_without_a_trace(house, session_id)


def test_a_run_that_is_recorded_after_the_deletion_goes_with_its_turn(house: House) -> None:
    """The session was taken, deleted with all its runs, and only then the run was written."""
    session_id = session_id_of(house.talk())
    deleted: list[bool] = []

    def delete_first(operation: str, _arguments: object, send: Send) -> Any:
        if operation == "PutItem" and not deleted:
            deleted.append(True)
            house.session_service().delete(session_id)
        return send()

    house.clock.turn(1)
    with house.intercepted(delete_first):
        turn = house.begin("again", session_id=session_id)
    assert turn.run.id
    list(turn.events())
    assert deleted
    assert_without_a_trace(house, session_id)
    assert house.entry_of(turn.run.id).tokens.output_tokens == 20


def test_a_run_of_a_dead_worker_in_a_deleted_session_is_swept_away(house: House) -> None:
    session_id = session_id_of(house.talk())
    house.clock.turn(1)
    turn = house.begin("again", session_id=session_id)
    house.sessions().mark_deleted(session_id, now=house.clock())
    house.sessions().remove(session_id)
    house.clock.turn(100)
    assert house.sweep().closed == 1
    assert house.runs().get(turn.run.id) is None
    assert house.entry_of(turn.run.id).status == "failed"
