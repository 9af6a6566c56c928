"""A turn is killed after any call to the table or bucket. The sweeper ends its run, and the session remains usable."""

import random
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise

import pytest
from atrium.jobs.resuming import EVENTS_SKIPPED
from atrium.kernel.ids import SessionId
from atrium.kernel.pagination import PageRequest
from atrium.quotas.model import SLOT_LEASE_SECONDS
from atrium.runs.model import RunEvent
from atrium.sessions.finalizing import OPENING_GRACE_SECONDS, RESUME_SECONDS

from tests.builders.scripted import calls
from tests.builders.tenant_env import TenantEnv, session_id_of
from tests.builders.wires import Kill, Killed, Recorder

PAGE = PageRequest(100)
SWEEP_SECONDS = 60
LONG_AFTER = OPENING_GRACE_SECONDS + SLOT_LEASE_SECONDS + 5


def script(tenant_env: TenantEnv) -> None:
    """Script a turn with a tool call, stored batches of events, and an outcome in the bucket."""
    tenant_env.model.replies.clear()
    tenant_env.model.say(
        "Let me see. ", lambda: tenant_env.clock.advance(3), "So.", calls("calculator", expression="6*7")
    )
    tenant_env.model.say(
        random.Random(1).randbytes(30_000).hex(), lambda: tenant_env.clock.advance(3), "42.", "The end."
    )


def take_turn(tenant_env: TenantEnv, session_id: SessionId | None, seen: list[RunEvent]) -> None:
    tenant_env.clock.advance(1)
    seen.extend(_seen(tenant_env, session_id))


def _seen(tenant_env: TenantEnv, session_id: SessionId | None) -> Iterator[RunEvent]:
    yield from tenant_env.begin("what is 6*7?", session_id=session_id).events()


def calls_of_a_turn(tenant_env: TenantEnv, session_id: SessionId | None) -> int:
    recorder = Recorder()
    script(tenant_env)
    with tenant_env.intercepted(recorder):
        take_turn(tenant_env, session_id, [])
    assert "PutObject" in recorder.operations
    return len(recorder.operations)


def assert_sound(tenant_env: TenantEnv, session_id: SessionId) -> None:
    """Assert that no session remains busy, visible runs are complete, and the ledger contains each run once."""
    runs = tenant_env.run_service().list(PAGE, session_id=session_id, status=None).items
    assert not any(run.is_open for run in runs)
    ledger = [str(item["sk"]["S"]) for item in tenant_env.items("LEDGER#")]
    assert len(ledger) == len(set(ledger))
    assert {run.id for run in runs} <= set(ledger)
    for run in runs:
        entry = tenant_env.entry_of(run.id)
        assert (entry.tokens, entry.cost_nanos) == (run.spend.tokens, run.spend.cost_nanos)
        replayed = tenant_env.replay(run.id)
        numbers = [event.sequence for event in replayed]
        assert numbers[0] == 1
        assert {later - earlier for earlier, later in pairwise(numbers)} <= {1, EVENTS_SKIPPED + 1}
        assert replayed[-1].type in {"final", "error"}
    tenant_env.model.replies.clear()
    events = tenant_env.talk("again", session_id=session_id)
    assert events[-1].type == "final"
    messages = tenant_env.messages_of(session_id)
    assert [message.text for message in messages[-2:]] == ["again", "Hello."]
    head = tenant_env.sessions().get(session_id)
    assert head is not None
    assert (head.turn, head.message_count) == (None, len(messages))
    assert head.turn_count == len([message for message in messages if message.role == "user"])
    assert tenant_env.sweep().looked_at == 0


def kill(tenant_env: TenantEnv, session_id: SessionId | None, number: int) -> None:
    """Run a turn that is killed after call `number` was applied, then run the sweeper.

    A kill before the next call has the same effect.
    """
    script(tenant_env)
    with tenant_env.intercepted(Kill(number, applied=True)), pytest.raises(Killed):
        take_turn(tenant_env, session_id, [])
    tenant_env.clock.advance(LONG_AFTER)
    assert tenant_env.sweep().failed == 0


@pytest.fixture
def step(request: pytest.FixtureRequest) -> int:
    """The distance between two tested calls: 4 on moto, 1 on DynamoDB Local."""
    return 4 if request.config.getoption("--dynamodb") == "moto" else 1


def test_recovers_a_turn_killed_in_an_existing_session(tenant_env: TenantEnv, step: int) -> None:
    for number in range(0, calls_of_a_turn(tenant_env, session_id_of(tenant_env.talk("first"))), step):
        session_id = session_id_of(tenant_env.talk("first"))
        kill(tenant_env, session_id, number)
        assert_sound(tenant_env, session_id)


def test_recovers_a_turn_killed_in_a_new_session(tenant_env: TenantEnv, step: int) -> None:
    tenant_env.talk("load the default agent")
    for number in range(0, calls_of_a_turn(tenant_env, None), step):
        known = sessions_of(tenant_env)
        kill(tenant_env, None, number)
        for session_id in sessions_of(tenant_env) - known:
            assert_sound(tenant_env, session_id)
        with_runs = {item["pk"]["S"] for item in tenant_env.items("SESSION#") if item["sk"]["S"].startswith("RUN#")}
        heads = {item["pk"]["S"] for item in tenant_env.items("SESSION#") if item["sk"]["S"] == "HEAD"}
        assert with_runs == heads, "neither an empty session nor a run without one"


def sessions_of(tenant_env: TenantEnv) -> set[SessionId]:
    return {session.id for session in tenant_env.session_service().list(PAGE).items}


def test_recovers_after_the_sweeper_is_killed(tenant_env: TenantEnv, step: int) -> None:
    """The next sweep, a minute later, ends the run of the turn."""
    number, died = 0, True
    while died:
        session_id = session_id_of(tenant_env.talk("first"))
        script(tenant_env)
        turn = tenant_env.begin("what is 6*7?", session_id=session_id)
        reader = turn.events()
        while next(reader).type != "tool_result":
            pass
        reader.close()
        tenant_env.clock.advance(LONG_AFTER + RESUME_SECONDS)
        sweeper = Kill(number, applied=True)
        died = is_killed(tenant_env, sweeper, partial(tenant_env.finalizer().close_expired, turn.run.id))
        tenant_env.clock.advance(SWEEP_SECONDS)
        tenant_env.sweep()
        assert_sound(tenant_env, session_id)
        number += max(step // 2, 1)
    assert number > 5


def is_killed(tenant_env: TenantEnv, killer: Kill, act: Callable[[], object]) -> bool:
    with tenant_env.intercepted(killer):
        try:
            act()
        except Killed:
            return True
    return False
