"""Slots that a worker left behind: with a run, without one, and what they held."""

from typing import Any

import pytest
from atrium.agent.sweeping import SLOT_GRACE_SECONDS
from atrium.kernel.errors import Unavailable
from atrium.kernel.ids import KeyId, SessionId
from atrium.llm.model import Usage
from atrium.quotas.limits import DEFINITIONS
from atrium.quotas.model import LEASE_SECONDS, LimitName
from atrium.storage import keys
from atrium.storage.writes import ANY, Update

from tests.builders.counters import admission_item, counted, held
from tests.builders.house import OWNER, House, session_id_of
from tests.builders.scripted import calls
from tests.builders.wires import Kill, Killed, Send

LONG = LEASE_SECONDS + SLOT_GRACE_SECONDS + 3


def die_after_admission(house: House, session_id: SessionId | None = None) -> None:
    """The batch, perhaps the history, the admission: and no more."""
    house.clock.turn(1)
    reads = 2 if session_id else 1
    with house.intercepted(Kill(reads, applied=True)), pytest.raises(Killed):
        house.begin("lost", session_id=session_id)
    assert len(held(house)) == 1


@pytest.mark.parametrize("writes", range(3))
def test_returns_the_slots_of_a_key_too(house: House, writes: int) -> None:
    """The batch, the write of the key's item, the write of the tenant's: and no more."""
    house.talk("first")
    limit_key(house, requests_per_day=3, cost_per_month=1_000_000_000)
    house.clock.turn(1)
    with house.intercepted(Kill(writes, applied=True)), pytest.raises(Killed):
        house.begin("lost")
    taken = [len(admission_item(house, scope_id=OWNER).slots), len(held(house))]
    assert taken == [[0, 0], [1, 0], [1, 1]][writes]
    house.clock.turn(LONG)
    assert house.sweep().returned == sum(taken)
    assert (admission_item(house, scope_id=OWNER).slots, held(house)) == ({}, [])
    house.talk("again")
    assert used(house, "requests_per_day") == 1


def test_settles_the_key_of_a_worker_that_died_in_a_turn(house: House) -> None:
    limit_key(house, tokens_per_month=900_000)
    turn = house.begin()
    house.clock.turn(LONG)
    assert house.sweep().closed == 1
    entry = house.entry_of(turn.run.id)
    assert (admission_item(house, scope_id=OWNER).slots, entry.estimated) == ({}, True)
    assert set(entry.admitted) == {OWNER, ""}
    assert used(house, "tokens_per_month") == entry.total_tokens
    assert counted(house, "tokens_per_month") == entry.total_tokens > 0


def limit_key(house: House, **limits: int) -> None:
    house.table().write(Update(keys.api_key(KeyId(OWNER)), "SET #limits = :limits", ANY, {"limits": limits}))


def used(house: House, limit: LimitName) -> int:
    return admission_item(house, scope_id=OWNER).used(DEFINITIONS[limit])


def marks(house: House) -> list[str]:
    return [item["sk"]["S"] for item in house.items("ADMISSION") if "sweep_pk" in item]


def test_a_slot_without_a_run_comes_back_with_all_that_it_counted(house: House) -> None:
    session_id = session_id_of(house.talk("first"))
    before = [counted(house, name) for name in ("requests_per_day", "tokens_per_month", "cost_per_month")]
    die_after_admission(house, session_id)
    house.clock.turn(LEASE_SECONDS)
    assert (house.sweep().returned, len(held(house))) == (0, 1), "its worker may still record its run"
    house.clock.turn(LONG)
    assert (house.sweep().returned, held(house)) == (1, [])
    assert [counted(house, name) for name in ("requests_per_day", "tokens_per_month", "cost_per_month")] == before


def test_a_slot_whose_run_is_in_the_ledger_is_settled_to_it(house: House) -> None:
    """As where a session was deleted while its turn ran, and the worker died after its ledger entry."""
    turn = house.begin()
    recorded: list[str] = []

    def die_when_recorded(operation: str, _arguments: object, send: Send) -> Any:
        if recorded:
            raise Killed
        recorded.extend([operation] if operation == "PutItem" else [])
        return send()

    with house.intercepted(die_when_recorded), pytest.raises(Killed):
        list(turn.events())
    house.session_service().delete(turn.run.session_id)
    house.clock.turn(LONG)
    assert (house.sweep().returned, held(house)) == (1, [])
    entry = house.entry_of(turn.run.id)
    assert counted(house, "tokens_per_month") == entry.total_tokens > 0
    assert counted(house, "cost_per_month") == entry.cost_nanos > 0
    assert counted(house, "requests_per_day") == 1


def test_a_slot_of_an_open_run_is_left_to_it(house: House) -> None:
    turn = house.begin()
    house.clock.turn(LONG)
    house.runs().renew(turn.run.id, now=house.clock(), spend=turn.loop.spend)
    assert (house.sweep().returned, len(held(house))) == (0, 1)
    list(turn.events())
    assert held(house) == []


def test_an_item_is_marked_while_it_has_slots_and_no_longer(house: House) -> None:
    turn = house.begin()
    assert len(marks(house)) == 1
    house.sweep()
    assert len(marks(house)) == 1
    list(turn.events())
    house.sweep()
    assert marks(house) == []
    house.talk("again")
    assert len(marks(house)) == 1


def test_a_worker_that_died_after_its_ledger_entry_is_closed_with_it(house: House) -> None:
    house.model.say("One.", calls("calculator", expression="1"))
    turn = house.begin()
    entered: list[bool] = []

    def fail_after_the_entry(_operation: str, arguments: object, send: Send) -> Any:
        if entered:
            raise Unavailable(internal="of the test")
        entered.extend([True] if "#LEDGER#" in str(arguments) else [])
        return send()

    with house.intercepted(fail_after_the_entry):
        events = list(turn.events())
    house.clock.turn(LONG)
    house.sweep()
    run = house.run_of(events)
    assert (run.spend.tokens, house.entry_of(run.id).estimated) == (Usage(200, 40), False)
    assert run.spend.tool_calls == {"calculator": 1}
