"""The thread that runs a turn continues to the end, even if the reader of its events stops."""

import asyncio
import threading
import time
from collections.abc import Callable

import pytest
from atrium.agent.turn import Turn
from atrium.runs.model import RunEvent

from functions.chat.worker import QUEUED_MAX, TurnWorker
from tests.builders.tenant_env import TenantEnv, types_of

MANY = QUEUED_MAX * 2


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def is_over() -> bool:
    return not [thread for thread in threading.enumerate() if thread.name == "turn"]


def has_ended(tenant_env: TenantEnv, turn: Turn) -> bool:
    run = tenant_env.runs().get(turn.run.id)
    return run is not None and not run.is_open


async def read(worker: TurnWorker, *, idle_seconds: float = 5, first: int = 10**6) -> list[RunEvent | None]:
    events: list[RunEvent | None] = []
    async for event in worker.events(idle_seconds):
        events.append(event)
        if len(events) == first:
            break
    return events


def test_events_come_in_order_to_the_end(tenant_env: TenantEnv) -> None:
    tenant_env.model.say(*(f"{number} " for number in range(MANY)))
    turn = tenant_env.begin()

    async def serve() -> list[RunEvent | None]:
        return await read(TurnWorker(turn))

    events = [event for event in asyncio.run(serve()) if event]
    until(is_over)
    assert [event.sequence for event in events] == list(range(1, MANY + 4))
    assert types_of(events)[-2:] == ["usage", "final"]


def test_reports_silence(tenant_env: TenantEnv) -> None:
    release = threading.Event()
    tenant_env.model.say("One", lambda: release.wait(60), "two")
    turn = tenant_env.begin()

    async def serve() -> list[RunEvent | None]:
        worker = TurnWorker(turn)
        events = await read(worker, idle_seconds=0.02, first=4)
        release.set()
        return [*events, *await read(worker)]

    events = asyncio.run(serve())
    until(is_over)
    assert None in events
    assert types_of([event for event in events if event]) == ["start", "text", "text", "usage", "final"]


@pytest.mark.parametrize("seen", [0, 1, 5])
def test_continues_the_turn_without_a_reader(tenant_env: TenantEnv, seen: int) -> None:
    """This also applies if the reader never started because its client disconnected first."""
    tenant_env.model.say(*(f"{number} " for number in range(MANY)))
    turn = tenant_env.begin()

    async def serve() -> None:
        worker = TurnWorker(turn)
        if seen:
            await read(worker, first=seen)
        worker.leave()
        await asyncio.to_thread(until, is_over)

    asyncio.run(serve())
    assert has_ended(tenant_env, turn)
    assert tenant_env.messages_of(turn.run.session_id)[-1].text == "".join(f"{number} " for number in range(MANY))


def test_continues_the_turn_after_the_event_loop_closed(tenant_env: TenantEnv) -> None:
    """This occurs if the server stops during a turn."""
    tenant_env.model.say(*(f"{number} " for number in range(MANY)))
    turn = tenant_env.begin()

    async def serve() -> None:
        await read(TurnWorker(turn), first=2)

    asyncio.run(serve())
    until(is_over)
    assert has_ended(tenant_env, turn)


def test_continues_if_the_event_loop_closes_with_a_pending_event(
    tenant_env: TenantEnv, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("functions.chat.worker._LOOK_SECONDS", 0.01)
    tenant_env.model.say("One")
    turn, loop = tenant_env.begin(), asyncio.new_event_loop()

    async def begin() -> TurnWorker:
        return TurnWorker(turn)

    loop.run_until_complete(begin())
    time.sleep(0.05)  # the turn passes an event to an event loop that is not running
    loop.close()
    until(is_over)
    assert has_ended(tenant_env, turn)


def test_a_slow_reader_applies_backpressure_to_the_model(tenant_env: TenantEnv) -> None:
    said: list[int] = []
    tenant_env.model.say(*(piece for number in range(MANY * 2) for piece in (f"{number} ", lambda: said.append(1))))
    turn = tenant_env.begin()

    async def serve() -> None:
        worker = TurnWorker(turn)
        await read(worker, first=1)
        await asyncio.to_thread(until, worker._queue.full)
        assert len(said) <= QUEUED_MAX + 2
        await read(worker)

    asyncio.run(serve())
    until(is_over)
    assert len(said) == MANY * 2


def test_stops_waiting_for_a_slow_reader_at_the_time_limit(tenant_env: TenantEnv) -> None:
    tenant_env.model.say(*(f"{number} " for number in range(MANY)))
    turn = tenant_env.begin()

    async def serve() -> list[RunEvent | None]:
        worker = TurnWorker(turn)
        await read(worker, first=1)
        await asyncio.to_thread(until, worker._queue.full)
        turn.signal.stop("max_seconds")
        await asyncio.to_thread(until, is_over)
        return await read(worker, idle_seconds=0.02)

    rest = [event for event in asyncio.run(serve()) if event]
    assert has_ended(tenant_env, turn)
    assert len(rest) <= QUEUED_MAX + 1
    assert "final" not in types_of(rest), "what was not read in time is replayed"
    assert tenant_env.replay(turn.run.id)[-1].type == "final"
