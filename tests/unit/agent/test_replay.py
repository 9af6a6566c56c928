"""Coming back to a run: whatever number a client has, it gets what is missing, once, and an end."""

import random
from collections.abc import Callable

import pytest
from atrium.agent.replay import REPEATED, Replay
from atrium.kernel.errors import ModelFailed
from atrium.kernel.ids import mint_run_id, mint_session_id
from atrium.quotas.model import LEASE_SECONDS
from atrium.runs.model import RunEvent

from tests.builders.house import House, run_id_of
from tests.builders.scripted import calls


def talk_slowly(house: House, *, pieces: int = 6) -> list[RunEvent]:
    """A turn whose events lie in batches, in the tail, and in the outcome."""
    answer: list[str | Callable[[], object]] = []
    for number in range(pieces):
        answer += [f"{number} ", lambda: house.clock.turn(0.9)]
    house.model.say(*answer, calls("calculator", expression="6*7"))
    house.model.say("The end.")
    return house.talk()


def test_a_whole_turn_is_replayed_as_it_was(house: House) -> None:
    events = talk_slowly(house)
    assert len(house.items("RUN#run_")) >= 2
    assert house.replay(run_id_of(events)) == events


def test_after_any_number(house: House) -> None:
    events = talk_slowly(house)
    for after in range(len(events) + 3):
        assert house.replay(run_id_of(events), after=after) == [event for event in events if event.sequence > after]


def test_a_number_beyond_the_end_gets_nothing(house: House) -> None:
    replay = Replay(house.runs(), run_id_of(talk_slowly(house)), 1_000)
    assert list(replay.read()) == []
    assert replay.ended


def test_a_failed_turn_ends_with_its_error(house: House) -> None:
    house.model.say("Half", ModelFailed())
    events = house.talk()
    assert house.replay(run_id_of(events)) == events


def test_an_unknown_run_has_ended(house: House) -> None:
    replay = Replay(house.runs(), mint_run_id(house.clock.now, mint_session_id(house.clock.now)), 0)
    assert (list(replay.read()), replay.ended) == ([], True)


def test_a_turn_that_runs_shows_what_is_stored_and_then_what_comes(house: House) -> None:
    seen: list[list[int]] = []
    reader: list[Replay] = []

    def look() -> None:
        seen.append([event.sequence for event in reader[0].read()])

    house.model.say(
        "a", look, lambda: house.clock.turn(3), "b", look, "c", look, lambda: house.clock.turn(3), "d", look
    )
    turn = house.begin()
    reader.append(Replay(house.runs(), turn.run.id, 0))
    events = list(turn.events())
    look()
    assert seen == [[1], [2, 3], [], [4, 5], [6, 7]]
    assert reader[0].ended
    assert len(events) == 7


def test_following_ends_with_the_run_and_says_when_it_finds_nothing(house: House) -> None:
    events = talk_slowly(house)
    replay = Replay(house.runs(), run_id_of(events), 0)
    assert list(replay.follow(60)) == [*events, None]


def test_following_a_run_that_does_not_end_ends_with_the_time(house: House) -> None:
    turn = house.begin()
    followed = list(Replay(house.runs(), turn.run.id, 0).follow(0.01))
    assert [event.type for event in followed if event] == ["start"]
    assert followed[-1] is None


def killed(house: House, *, seen: int) -> list[RunEvent]:
    """A turn whose process dies when its client has seen so many events; its first batch is stored."""
    house.model.say("a", "b", lambda: house.clock.turn(3), "c", *["d"] * 20)
    reader = house.begin().events()
    events = [next(reader) for _ in range(seen)]
    reader.close()
    house.clock.turn(LEASE_SECONDS + 2)
    assert house.sweep().closed == 1
    return events


@pytest.mark.parametrize("seen", range(4, 12))
def test_a_client_of_a_dead_worker_always_gets_an_end(house: House, seen: int) -> None:
    """It may have seen more than was stored: three pieces, so its last stored number is 4."""
    events = killed(house, seen=seen)
    replay = Replay(house.runs(), run_id_of(events), seen)
    rest = list(replay.read())
    assert [event.sequence for event in rest] == [5 if seen < 5 else seen + REPEATED]
    assert (rest[0].type, rest[0].data["code"]) == ("error", "RUN_INTERRUPTED")
    assert replay.ended


@pytest.mark.parametrize("seen", range(4, 12))
def test_a_client_of_a_dead_worker_gets_the_end_twice_at_most(house: House, seen: int) -> None:
    """An EventSource comes back with the last number that it has, until it is told that nothing is left."""
    run_id, numbers = run_id_of(killed(house, seen=seen)), [seen]
    while rest := house.replay(run_id, after=numbers[-1]):
        numbers += [event.sequence for event in rest]
        assert len(numbers) <= 3


def test_from_the_beginning_a_swept_run_has_no_gap(house: House) -> None:
    events = killed(house, seen=9)
    replayed = house.replay(run_id_of(events))
    assert [event.sequence for event in replayed] == [1, 2, 3, 4, 5]
    assert [event.type for event in replayed] == ["start", "text", "text", "text", "error"]


def test_what_a_slow_worker_stored_after_the_sweep_does_not_hide_the_end(house: House) -> None:
    def sweep() -> None:
        house.clock.turn(LEASE_SECONDS + 2)
        house.sweep()

    house.model.say("a", lambda: house.clock.turn(3), "b", sweep, "c", lambda: house.clock.turn(3), "d")
    events = house.talk()
    replayed = house.replay(run_id_of(events))
    assert [event.sequence for event in replayed] == [1, 2, 3, 4, 5, 5 + REPEATED]
    assert [event.type for event in replayed] == ["start", "text", "text", "text", "text", "error"]
    for after in range(1, 8):
        assert house.replay(run_id_of(events), after=after)[-1].type == "error"


def test_large_batches_and_outcomes_are_replayed_from_s3(house: House) -> None:
    noise = [random.Random(seed).randbytes(20_000).hex() for seed in range(6)]
    house.model.say(*noise[:3], lambda: house.clock.turn(3), *noise[3:])
    events = house.talk()
    assert len(house.blobs()) >= 2
    assert house.replay(run_id_of(events)) == events
