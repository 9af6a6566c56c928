"""What admission has counted when turns are over, however they ended: what the ledger says, and nothing else."""

from atrium.kernel.errors import ModelFailed
from atrium.quotas.model import LEASE_SECONDS
from atrium.quotas.rebuild.service import Rebuilder
from atrium.tools.registry import ToolRegistry

from tests.builders.counters import counted, held
from tests.builders.house import TENANT, House
from tests.builders.loops import tool
from tests.builders.scripted import calls


def end_in_every_way(house: House) -> int:
    """Let turns end: done, done with tools, failed in the middle and before the first word, cancelled, killed."""
    house.tools = ToolRegistry((tool("look", lambda: "found"),))
    house.talk("done")
    house.model.say(calls("look"))
    house.model.say("and done")
    house.talk("done with tools")
    house.model.say("Half of ", "it", ModelFailed())
    house.talk("failed")
    house.model.say(ModelFailed())
    house.talk("failed at once")
    house.model.say("One, ", lambda: turn.signal.stop("cancelled"), "two")
    turn = house.begin("cancelled")
    list(turn.events())
    house.begin("killed")
    return 6


def test_tokens_and_money_of_the_month_are_the_ledgers(house: House) -> None:
    count = end_in_every_way(house)
    house.clock.turn(LEASE_SECONDS + 2)
    house.sweep()
    entries = [entry for entry, _ in house.ledger().read_month(f"{house.clock():%Y-%m}")]

    assert len(entries) == count
    assert sorted({entry.status for entry in entries}) == ["cancelled", "failed", "succeeded"]
    assert counted(house, "requests_per_day") == count
    assert counted(house, "tokens_per_month") == sum(entry.total_tokens for entry in entries) > 0
    assert counted(house, "cost_per_month") == sum(entry.cost_nanos for entry in entries) > 0
    assert held(house) == []


def test_a_comparison_finds_nothing_while_turns_are_open_nor_when_they_are_over(house: House) -> None:
    end_in_every_way(house)
    comparing = Rebuilder(house.table(TENANT), house.clock)
    assert comparing.compare().counters == ()
    house.clock.turn(LEASE_SECONDS + 2)
    house.sweep()
    assert comparing.compare().counters == ()


def test_a_rebuild_changes_nothing_of_what_turns_have_counted(house: House) -> None:
    end_in_every_way(house)
    report = Rebuilder(house.table(TENANT), house.clock).rebuild(house.clock().date(), "one")
    assert (report.counters, report.entries, report.counted) == ((), 5, 5)
