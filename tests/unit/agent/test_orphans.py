"""Slots that a worker left behind: with a run, without one, and what they held."""

from typing import Any

import pytest
from atrium.agent.orphans import ORPHAN_GRACE_SECONDS
from atrium.kernel.errors import Unavailable
from atrium.kernel.ids import SessionId
from atrium.llm.model import Usage
from atrium.quotas.model import LEASE_SECONDS

from tests.builders.counters import counted, held
from tests.builders.house import House, session_id_of
from tests.builders.scripted import calls
from tests.builders.wires import Kill, Killed, Send

LONG = LEASE_SECONDS + ORPHAN_GRACE_SECONDS + 3


def die_after_admission(house: House, session_id: SessionId | None = None) -> None:
    """The batch, perhaps the history, the admission: and no more."""
    house.clock.turn(1)
    reads = 2 if session_id else 1
    with house.intercepted(Kill(reads, applied=True)), pytest.raises(Killed):
        house.begin("lost", session_id=session_id)
    assert len(held(house)) == 1


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
