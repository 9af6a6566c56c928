"""Opening a turn: who gets the session, what waits for it, and that a refusal leaves nothing behind."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from atrium.agent.busy import POLL_SECONDS
from atrium.agent.closing import OPENING_GRACE_SECONDS
from atrium.agent.request import RunLimits, TurnRequest
from atrium.agent.turn import Turn
from atrium.kernel.errors import AtriumError, NotFound, SessionBusy, Unavailable
from atrium.kernel.ids import SessionId, mint_run_id
from atrium.runs.model import LEASE_SECONDS, Message, Run
from atrium.tools.registry import ToolRegistry

from tests.builders.house import (
    ADMIN,
    OTHER_OWNER,
    OTHER_TENANT,
    OWNER,
    House,
    context_of,
    session_id_of,
    types_of,
)
from tests.builders.wires import WRITES, Kill, Killed, Outage, Recorder, Send


@pytest.fixture
def session_id(house: House) -> SessionId:
    return session_id_of(house.talk("first"))


def begin_again(house: House, session_id: SessionId, **wishes: Any) -> Turn:
    house.clock.turn(1)
    return house.begin("again", session_id=session_id, **wishes)


def begin_dead(house: House, session_id: SessionId) -> Turn:
    """A turn whose worker is never heard of again."""
    return begin_again(house, session_id)


def head_of(house: House, session_id: SessionId) -> Any:
    head = house.sessions().get(session_id)
    assert head is not None
    return head


def texts(messages: list[Message]) -> list[str]:
    return [message.text for message in messages]


def test_a_new_session_is_the_callers_and_named_by_its_first_words(house: House) -> None:
    turn = house.begin("  A question\n that is   " + "long " * 40, context=context_of(OTHER_OWNER), end_user="ann")
    head = head_of(house, turn.run.session_id)
    assert (head.owner, head.end_user, head.agent_id, head.turn_count) == (OTHER_OWNER, "ann", None, 1)
    assert head.title.startswith("A question that is long long")
    assert len(head.title) <= 60
    assert head.turn.run_id == turn.run.id


def test_an_agent_that_was_named_stays_with_the_session(house: House) -> None:
    agent = house.agents().create(
        {"name": "poet", "model": "claude-haiku-5-5", "system_prompt": "Rhyme."}, is_default=False
    )
    events = house.talk("Hi", agent_id=agent.agent.id)
    house.talk("again", session_id=session_id_of(events))
    assert [request.system for request in house.model.requests] == ["Rhyme.", "Rhyme."]


def test_two_turns_at_once_and_one_is_refused(house: House, session_id: SessionId) -> None:
    first = begin_again(house, session_id)
    before = house.items()
    with pytest.raises(SessionBusy) as busy:
        begin_again(house, session_id)
    assert (busy.value.status, busy.value.retry_after_seconds) == (409, 1)
    assert house.items() == before, "nothing is written"
    assert types_of(list(first.events()))[-1] == "final"
    assert texts(house.messages_of(session_id)) == ["first", "Hello.", "again", "Hello."]


def test_a_turn_in_the_queue_begins_when_the_other_ends_and_sees_its_answer(
    house: House, session_id: SessionId
) -> None:
    first = begin_again(house, session_id)
    waits: list[object] = []

    def wait() -> None:
        waits.append(None)
        if len(waits) == 3:
            house.model.say("From the first.")
            list(first.events())

    house.while_waiting = wait
    before = house.clock.now
    second = begin_again(house, session_id, on_busy="queue")
    assert len(waits) == 3
    assert house.clock.now - before == timedelta(seconds=1 + 3 * POLL_SECONDS)
    list(second.events())
    shown = [block.text for message in house.model.requests[-1].messages for block in message.content]  # type: ignore[union-attr]
    assert shown == ["first", "Hello.", "again", "From the first.", "again"]


def test_a_queue_is_left_when_its_time_is_over(house: House, session_id: SessionId) -> None:
    first = begin_again(house, session_id)
    house.while_waiting = lambda: house.runs().renew(first.run.id, now=house.clock(), spend=first.loop.spend)
    before = house.clock.now
    with pytest.raises(SessionBusy):
        begin_again(house, session_id, on_busy="queue", limits=RunLimits(max_seconds=7))
    assert house.clock.now - before == timedelta(seconds=8)
    list(first.events())
    assert texts(house.messages_of(session_id)) == ["first", "Hello.", "again", "Hello."]


def test_interrupting_asks_the_other_turn_to_stop_once_and_waits_for_its_end(
    house: House, session_id: SessionId
) -> None:
    house.model.say("One, ", lambda: first.signal.stop("cancelled"), "two")
    first = begin_again(house, session_id)
    asked: list[bool] = []

    def wait() -> None:
        asked.append(house.runs().is_cancelled(first.run.id))
        if len(asked) == 3:
            list(first.events())

    house.while_waiting = wait
    recorder = Recorder()
    with house.intercepted(recorder):
        second = begin_again(house, session_id, on_busy="interrupt")
    assert asked == [True] * 3
    cancels = [each for each in recorder.arguments if "#cancel" in str(each.get("UpdateExpression"))]
    assert len(cancels) == 1
    assert types_of(list(second.events()))[-1] == "final"
    assert texts(house.messages_of(session_id))[2:] == ["again", "One, ", "again", "Hello."]


@pytest.mark.parametrize("on_busy", ["reject", "queue", "interrupt"])
def test_a_dead_turn_is_closed_and_the_session_taken_over(house: House, session_id: SessionId, on_busy: Any) -> None:
    dead = begin_dead(house, session_id)
    house.clock.turn(LEASE_SECONDS + 2)
    turn = begin_again(house, session_id, on_busy=on_busy)
    closed = house.runs().get(dead.run.id)
    assert closed is not None
    assert (closed.status, house.entry_of(dead.run.id).status) == ("failed", "failed")
    list(turn.events())
    assert texts(house.messages_of(session_id)) == ["first", "Hello.", "again", "again", "Hello."]
    assert head_of(house, session_id).message_count == 5


def test_a_turn_that_had_ended_but_not_given_back_is_no_obstacle(house: House, session_id: SessionId) -> None:
    first = begin_again(house, session_id)
    with house.intercepted(Outage(lambda number, _: number >= 2)):
        list(first.events())
    assert head_of(house, session_id).turn is not None
    list(begin_again(house, session_id).events())
    assert head_of(house, session_id).message_count == 6


def take_without_a_run(house: House, session_id: SessionId) -> None:
    """A worker that died between taking the session and recording its run."""
    house.clock.turn(1)
    reads_and_the_taking = 4
    with house.intercepted(Kill(reads_and_the_taking, applied=False)), pytest.raises(Killed):
        house.begin("lost", session_id=session_id)
    assert head_of(house, session_id).turn is not None


def test_a_turn_that_was_never_recorded_is_waited_for_a_minute(house: House, session_id: SessionId) -> None:
    take_without_a_run(house, session_id)
    with pytest.raises(SessionBusy):
        begin_again(house, session_id)
    house.clock.turn(OPENING_GRACE_SECONDS)
    list(begin_again(house, session_id).events())
    head = head_of(house, session_id)
    assert (head.turn, head.turn_count, head.message_count) == (None, 2, 4)
    assert texts(house.messages_of(session_id)) == ["first", "Hello.", "again", "Hello."]


def test_a_worker_that_slept_before_it_recorded_its_run_gives_up(house: House, session_id: SessionId) -> None:
    """Or it could be a second turn in a session that was given to another meanwhile."""

    def sleep_after_taking(operation: str, _arguments: object, send: Send) -> Any:
        answer = send()
        if operation == "UpdateItem":
            house.clock.turn(OPENING_GRACE_SECONDS)
        return answer

    before = house.items("RUN#")
    with house.intercepted(sleep_after_taking), pytest.raises(Unavailable):
        begin_again(house, session_id)
    assert house.items("RUN#") == before
    assert head_of(house, session_id).turn is None


def test_a_clock_that_is_behind_mints_again(house: House, session_id: SessionId) -> None:
    """The last run's id came from a container whose clock is two seconds ahead."""
    house.clock.turn(2)
    last = session_of_last(house, session_id)
    house.clock.turn(-2)
    turn = house.begin("again", session_id=session_id)
    assert turn.run.id > last
    list(turn.events())
    assert texts(house.messages_of(session_id)) == ["first", "Hello.", "ahead", "Hello.", "again", "Hello."]


def session_of_last(house: House, session_id: SessionId) -> str:
    return house.run_of(list(house.begin("ahead", session_id=session_id).events())).id


def test_an_id_of_the_same_millisecond_is_minted_again_too(house: House, session_id: SessionId) -> None:
    for _ in range(12):
        list(house.begin("again", session_id=session_id).events())
    runs = [message.text for message in house.messages_of(session_id) if message.role == "user"]
    assert runs == ["first", *["again"] * 12]


STRANGERS = {"another owner": context_of(OTHER_OWNER), "another tenant": context_of(OWNER, tenant=OTHER_TENANT)}


@pytest.mark.parametrize("stranger", STRANGERS)
def test_a_strangers_session_is_not_there(house: House, session_id: SessionId, stranger: str) -> None:
    before = house.items()
    with pytest.raises(NotFound, match="there is no such session"):
        house.begin("again", session_id=session_id, context=STRANGERS[stranger])
    assert house.items() == before


def test_an_admin_may_speak_in_anyones_session(house: House, session_id: SessionId) -> None:
    house.clock.turn(1)
    turn = house.begin("again", session_id=session_id, context=ADMIN)
    assert turn.run.owner == ADMIN.owner
    assert head_of(house, session_id).owner == OWNER
    list(turn.events())


@pytest.mark.parametrize("text", ["", "x", "ses_x", "ses_01k6r5m2x8f3v9q4w7t1y0z5ab", "run_01k6r5m2x8f3v9q4w7t1y0z5ab"])
def test_what_is_no_session(house: House, text: str) -> None:
    before = house.items()
    with pytest.raises(NotFound):
        house.begin("Hi", session_id=text)
    assert house.items() == before


def test_a_deleted_session_is_not_there(house: House, session_id: SessionId) -> None:
    house.session_service().delete(session_id)
    with pytest.raises(NotFound):
        begin_again(house, session_id)


def test_a_session_that_is_deleted_while_one_waits_for_it(house: House, session_id: SessionId) -> None:
    begin_again(house, session_id)
    house.while_waiting = lambda: house.session_service().delete(session_id)
    with pytest.raises(NotFound):
        begin_again(house, session_id, on_busy="queue")
    assert house.items("SESSION#") == []


def writes_fail(which: int, *, applied: bool) -> Callable[[str, Any, Send], Any]:
    """Let the write number `which` fail; perhaps only its reply is lost."""
    made = 0

    def fail(operation: str, _arguments: object, send: Send) -> Any:
        nonlocal made
        if operation not in WRITES:
            return send()
        made += 1
        if made != which + 1:
            return send()
        if applied:
            send()
        raise Unavailable(internal="of the test")

    return fail


@pytest.mark.parametrize("applied", [False, True], ids=["not applied", "reply lost"])
@pytest.mark.parametrize("write", [0, 1])
@pytest.mark.parametrize("new_session", [True, False], ids=["new session", "known session"])
def test_a_write_that_fails_is_undone(house: House, new_session: bool, write: int, applied: bool) -> None:
    known = session_id_of(house.talk("first"))
    messages = house.messages_of(known)
    house.clock.turn(1)
    with house.intercepted(writes_fail(write, applied=applied)), pytest.raises(Unavailable):
        house.begin("again", session_id=None if new_session else known)
    assert {item["sk"]["S"][:4] for item in house.items("SESSION#")} == {"HEAD", "RUN#"}
    assert len(house.items("SESSION#")) == 2, "one head and its first run"
    head = head_of(house, known)
    assert (head.turn, head.turn_count, house.messages_of(known)) == (None, 1, messages)
    assert house.sweep().open_runs == 0
    assert types_of(list(begin_again(house, known).events()))[-1] == "final"


def test_an_outage_that_goes_on_leaves_what_the_sweeper_ends(house: House, session_id: SessionId) -> None:
    house.clock.turn(1)
    reads_and_the_taking = 4
    with house.intercepted(Outage(lambda number, _: number >= reads_and_the_taking)), pytest.raises(Unavailable):
        house.begin("lost", session_id=session_id)
    with pytest.raises(SessionBusy):
        begin_again(house, session_id)
    house.clock.turn(OPENING_GRACE_SECONDS + LEASE_SECONDS)
    house.sweep()
    assert types_of(list(begin_again(house, session_id).events()))[-1] == "final"
    assert texts(house.messages_of(session_id)) == ["first", "Hello.", "again", "Hello."]


@pytest.mark.parametrize(
    ("limits", "iterations", "seconds", "cost", "tokens"),
    [
        (RunLimits(), 20, 280, None, None),
        (RunLimits(5_000, 700, 3, 9), 3, 9, 5_000, 700),
        (RunLimits(max_iterations=100, max_seconds=280), 20, 280, None, None),
    ],
)
def test_a_callers_limits_only_lower_the_agents(
    house: House, limits: RunLimits, iterations: int, seconds: int, cost: int | None, tokens: int | None
) -> None:
    budget = house.begin("Hi", limits=limits).loop.given.budget
    assert (budget.max_iterations, budget.max_seconds, budget.max_cost_nanos, budget.max_tokens) == (
        iterations, seconds, cost, tokens,
    )  # fmt: skip


def test_an_agents_tools_and_settings_are_what_its_turn_runs_with(house: House) -> None:
    fields = {
        "name": "counter",
        "model": "claude-sonnet-5-5",
        "tools": ("calculator",),
        "max_tokens": 77,
        "max_iterations": 2,
        "require_done_tool": True,
        "system_prompt": "Count.",
    }
    agent = house.agents().create(fields, is_default=False)
    given = house.begin("Hi", agent_id=agent.agent.id).loop.given
    assert given.tools.names == {"calculator", "done"}
    assert (given.model, given.max_tokens, given.budget.max_iterations, given.system) == (
        "claude-sonnet-5-5", 77, 2, "Count.",
    )  # fmt: skip


def test_a_tool_that_is_gone_is_left_out(house: House) -> None:
    house.tools = ToolRegistry([])
    assert house.begin("Hi").loop.given.tools.names == frozenset()


def test_a_refusal_of_the_provider_writes_nothing(house: House) -> None:
    before = house.items()
    service = house.turns()

    def refuse(_model: object) -> Any:
        raise AtriumError("no provider here")

    object.__setattr__(service.opener, "provider_for", refuse)
    with pytest.raises(AtriumError):
        service.begin(TurnRequest("Hi"))
    assert house.items() == before


def test_a_run_is_recorded_with_its_question_and_lease(house: House) -> None:
    run: Run | None = house.runs().get(house.begin("Hi", metadata={"a": 1}).run.id)
    assert run is not None
    assert (run.status, run.question.text, run.metadata, run.provider) == ("running", "Hi", {"a": 1}, "anthropic")
    assert run.lease_until == house.clock.now + timedelta(seconds=LEASE_SECONDS)
    assert mint_run_id(house.clock.now, run.session_id)[:14] == run.id[:14]
