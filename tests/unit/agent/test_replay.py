"""The replay of a run's events.

From any sequence number, a client receives each missing event once, and then an end event.
"""

import random
from collections.abc import Callable

import pytest
from atrium.kernel.errors import ModelFailed
from atrium.kernel.ids import mint_run_id, mint_session_id
from atrium.quotas.model import SLOT_LEASE_SECONDS
from atrium.runs.model import RunEvent
from atrium.runs.replay import REPEATED, Replay

from tests.builders.scripted import calls
from tests.builders.tenant_env import TenantEnv, run_id_of


def talk_slowly(tenant_env: TenantEnv, *, pieces: int = 6) -> list[RunEvent]:
    """Run a turn that stores events in batches, in the run's tail and in its outcome. Return the events."""
    answer: list[str | Callable[[], object]] = []
    for number in range(pieces):
        answer += [f"{number} ", lambda: tenant_env.clock.advance(0.9)]
    tenant_env.model.say(*answer, calls("calculator", expression="6*7"))
    tenant_env.model.say("The end.")
    return tenant_env.talk()


def test_a_whole_turn_is_replayed_as_it_was(tenant_env: TenantEnv) -> None:
    events = talk_slowly(tenant_env)
    assert len(tenant_env.items("RUN#run_")) >= 2
    assert tenant_env.replay(run_id_of(events)) == events


def test_replays_after_any_sequence_number(tenant_env: TenantEnv) -> None:
    events = talk_slowly(tenant_env)
    for after in range(len(events) + 3):
        assert tenant_env.replay(run_id_of(events), after=after) == [
            event for event in events if event.sequence > after
        ]


def test_a_number_beyond_the_end_gets_nothing(tenant_env: TenantEnv) -> None:
    replay = Replay(tenant_env.runs(), run_id_of(talk_slowly(tenant_env)), 1_000)
    assert list(replay.read()) == []
    assert replay.ended


def test_a_failed_turn_ends_with_its_error(tenant_env: TenantEnv) -> None:
    tenant_env.model.say("Half", ModelFailed())
    events = tenant_env.talk()
    assert tenant_env.replay(run_id_of(events)) == events


def test_an_unknown_run_has_ended(tenant_env: TenantEnv) -> None:
    replay = Replay(tenant_env.runs(), mint_run_id(tenant_env.clock.now, mint_session_id(tenant_env.clock.now)), 0)
    assert (list(replay.read()), replay.ended) == ([], True)


def test_follows_a_running_turn_from_its_stored_events(tenant_env: TenantEnv) -> None:
    seen: list[list[int]] = []
    reader: list[Replay] = []

    def look() -> None:
        seen.append([event.sequence for event in reader[0].read()])

    tenant_env.model.say(
        "a",
        look,
        lambda: tenant_env.clock.advance(3),
        "b",
        look,
        "c",
        look,
        lambda: tenant_env.clock.advance(3),
        "d",
        look,
    )
    turn = tenant_env.begin()
    reader.append(Replay(tenant_env.runs(), turn.run.id, 0))
    events = list(turn.events())
    look()
    assert seen == [[1], [2, 3], [], [4, 5], [6, 7]]
    assert reader[0].ended
    assert len(events) == 7


def test_following_ends_with_the_run_and_reports_silence(tenant_env: TenantEnv) -> None:
    events = talk_slowly(tenant_env)
    replay = Replay(tenant_env.runs(), run_id_of(events), 0)
    assert list(replay.follow(60)) == [*events, None]


def test_following_stops_at_its_time_limit(tenant_env: TenantEnv) -> None:
    turn = tenant_env.begin()
    followed = list(Replay(tenant_env.runs(), turn.run.id, 0).follow(0.01))
    assert [event.type for event in followed if event] == ["start"]
    assert followed[-1] is None


def killed(tenant_env: TenantEnv, *, seen: int) -> list[RunEvent]:
    """Run a turn that is killed after its client received `seen` events, and sweep it. Return the received events.

    The first batch of events is stored.
    """
    tenant_env.model.say("a", "b", lambda: tenant_env.clock.advance(3), "c", *["d"] * 20)
    reader = tenant_env.begin().events()
    events = [next(reader) for _ in range(seen)]
    reader.close()
    tenant_env.clock.advance(SLOT_LEASE_SECONDS + 2)
    assert tenant_env.sweep().closed == 1
    return events


@pytest.mark.parametrize("seen", range(4, 12))
def test_a_client_of_a_dead_worker_always_gets_an_end(tenant_env: TenantEnv, seen: int) -> None:
    """The client may have received more events than were stored. The last stored event has the number 4."""
    events = killed(tenant_env, seen=seen)
    replay = Replay(tenant_env.runs(), run_id_of(events), seen)
    rest = list(replay.read())
    assert [event.sequence for event in rest] == [5 if seen < 5 else seen + REPEATED]
    assert (rest[0].type, rest[0].data["code"]) == ("error", "RUN_INTERRUPTED")
    assert replay.ended


@pytest.mark.parametrize("seen", range(4, 12))
def test_a_client_of_a_dead_worker_gets_the_end_twice_at_most(tenant_env: TenantEnv, seen: int) -> None:
    """An `EventSource` reconnects with its last event id until it receives a 204 response."""
    run_id, numbers = run_id_of(killed(tenant_env, seen=seen)), [seen]
    while rest := tenant_env.replay(run_id, after=numbers[-1]):
        numbers += [event.sequence for event in rest]
        assert len(numbers) <= 3


def test_from_the_beginning_a_swept_run_has_no_gap(tenant_env: TenantEnv) -> None:
    events = killed(tenant_env, seen=9)
    replayed = tenant_env.replay(run_id_of(events))
    assert [event.sequence for event in replayed] == [1, 2, 3, 4, 5]
    assert [event.type for event in replayed] == ["start", "text", "text", "text", "error"]


def test_events_stored_after_the_sweep_do_not_hide_the_end(tenant_env: TenantEnv) -> None:
    def sweep() -> None:
        tenant_env.clock.advance(SLOT_LEASE_SECONDS + 2)
        tenant_env.sweep()

    tenant_env.model.say(
        "a", lambda: tenant_env.clock.advance(3), "b", sweep, "c", lambda: tenant_env.clock.advance(3), "d"
    )
    events = tenant_env.talk()
    replayed = tenant_env.replay(run_id_of(events))
    assert [event.sequence for event in replayed] == [1, 2, 3, 4, 5, 5 + REPEATED]
    assert [event.type for event in replayed] == ["start", "text", "text", "text", "text", "error"]
    for after in range(1, 8):
        assert tenant_env.replay(run_id_of(events), after=after)[-1].type == "error"


def test_replays_large_batches_and_outcomes_from_s3(tenant_env: TenantEnv) -> None:
    noise = [random.Random(seed).randbytes(20_000).hex() for seed in range(6)]
    tenant_env.model.say(*noise[:3], lambda: tenant_env.clock.advance(3), *noise[3:])
    events = tenant_env.talk()
    assert len(tenant_env.blobs()) >= 2
    assert tenant_env.replay(run_id_of(events)) == events
