"""A turn whose process is killed at any call to table or bucket: what is left is swept, and the session goes on."""

import random
from collections.abc import Callable, Iterator
from functools import partial

import pytest
from atrium.agent.finalizing import OPENING_GRACE_SECONDS
from atrium.kernel.ids import SessionId
from atrium.kernel.pagination import PageRequest
from atrium.quotas.model import LEASE_SECONDS
from atrium.runs.model import RunEvent

from tests.builders.house import House, session_id_of
from tests.builders.scripted import calls
from tests.builders.wires import Kill, Killed, Recorder

PAGE = PageRequest(100)
LONG_AFTER = OPENING_GRACE_SECONDS + LEASE_SECONDS + 5


def script(house: House) -> None:
    """A turn with a tool, stored batches of events, and an outcome that goes to the bucket."""
    house.model.replies.clear()
    house.model.say("Let me see. ", lambda: house.clock.turn(3), "So.", calls("calculator", expression="6*7"))
    house.model.say(random.Random(1).randbytes(30_000).hex(), lambda: house.clock.turn(3), "42.", "The end.")


def take_turn(house: House, session_id: SessionId | None, seen: list[RunEvent]) -> None:
    house.clock.turn(1)
    seen.extend(_seen(house, session_id))


def _seen(house: House, session_id: SessionId | None) -> Iterator[RunEvent]:
    yield from house.begin("what is 6*7?", session_id=session_id).events()


def calls_of_a_turn(house: House, session_id: SessionId | None) -> int:
    recorder = Recorder()
    script(house)
    with house.intercepted(recorder):
        take_turn(house, session_id, [])
    assert "PutObject" in recorder.operations
    return len(recorder.operations)


def assert_sound(house: House, session_id: SessionId) -> None:
    """No session stays busy, what is visible is whole, and the ledger has each run once."""
    runs = house.run_service().list(PAGE, session_id=session_id, status=None).items
    assert not any(run.is_open for run in runs)
    ledger = [str(item["sk"]["S"]) for item in house.items("LEDGER#")]
    assert len(ledger) == len(set(ledger))
    assert {run.id for run in runs} <= set(ledger)
    for run in runs:
        entry = house.entry_of(run.id)
        assert (entry.tokens, entry.cost_nanos) == (run.spend.tokens, run.spend.cost_nanos)
        replayed = house.replay(run.id)
        assert [event.sequence for event in replayed] == list(range(1, len(replayed) + 1))
        assert replayed[-1].type in {"final", "error"}
    house.model.replies.clear()
    events = house.talk("again", session_id=session_id)
    assert events[-1].type == "final"
    messages = house.messages_of(session_id)
    assert [message.text for message in messages[-2:]] == ["again", "Hello."]
    head = house.sessions().get(session_id)
    assert head is not None
    assert (head.turn, head.message_count) == (None, len(messages))
    assert head.turn_count == len([message for message in messages if message.role == "user"])
    assert house.sweep().looked_at == 0


def kill(house: House, session_id: SessionId | None, number: int) -> None:
    """Take a turn that dies when call number `number` was applied, which is also before the next one."""
    script(house)
    with house.intercepted(Kill(number, applied=True)), pytest.raises(Killed):
        take_turn(house, session_id, [])
    house.clock.turn(LONG_AFTER)
    assert house.sweep().failed == 0


@pytest.fixture
def step(request: pytest.FixtureRequest) -> int:
    """On moto every third call is the last one; on DynamoDB Local each."""
    return 3 if request.config.getoption("--dynamodb") == "moto" else 1


@pytest.mark.timeout(240)
def test_killed_in_a_known_session(house: House, step: int) -> None:
    for number in range(0, calls_of_a_turn(house, session_id_of(house.talk("first"))), step):
        session_id = session_id_of(house.talk("first"))
        kill(house, session_id, number)
        assert_sound(house, session_id)


@pytest.mark.timeout(240)
def test_killed_in_a_new_session(house: House, step: int) -> None:
    house.talk("remember the default agent")
    for number in range(0, calls_of_a_turn(house, None), step):
        known = sessions_of(house)
        kill(house, None, number)
        for session_id in sessions_of(house) - known:
            assert_sound(house, session_id)
        with_runs = {item["pk"]["S"] for item in house.items("SESSION#") if item["sk"]["S"].startswith("RUN#")}
        heads = {item["pk"]["S"] for item in house.items("SESSION#") if item["sk"]["S"] == "HEAD"}
        assert with_runs == heads, "neither an empty session nor a run without one"


def sessions_of(house: House) -> set[SessionId]:
    return {session.id for session in house.session_service().list(PAGE).items}


def test_the_sweeper_is_killed_too(house: House) -> None:
    """And the next one finishes what it began."""
    number, died = 0, True
    while died:
        session_id = session_id_of(house.talk("first"))
        script(house)
        turn = house.begin("what is 6*7?", session_id=session_id)
        reader = turn.events()
        while next(reader).type != "tool_result":
            pass
        reader.close()
        house.clock.turn(LONG_AFTER)
        sweeper = Kill(number, applied=True)
        died = is_killed(house, sweeper, partial(house.finalizer().close_expired, turn.run.id))
        house.sweep()
        assert_sound(house, session_id)
        number += 1
    assert number > 5


def is_killed(house: House, killer: Kill, act: Callable[[], object]) -> bool:
    with house.intercepted(killer):
        try:
            act()
        except Killed:
            return True
    return False
