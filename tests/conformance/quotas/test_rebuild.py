"""Counters are rebuilt from the ledger during calls. At the same time, limits are set on a key for the first time."""

import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace

from atrium.kernel.ids import AgentId, SessionId
from atrium.llm.model import Usage
from atrium.quotas.changes import begin_counting
from atrium.quotas.limits import DEFINITIONS
from atrium.quotas.model import Admitted, LimitName, Reservation, ScopeLimits, Used
from atrium.quotas.rebuild.running import run_rebuild
from atrium.quotas.rebuild.service import Rebuilder
from atrium.quotas.rebuild.store import RebuildStore
from atrium.storage import keys
from atrium.storage.table import PhysicalTable, TenantTable
from atrium.storage.writes import ANY, Update
from atrium.usage.model import LedgerEntry
from atrium.usage.store import LedgerStore

from tests.conformance.quotas.racing import (
    IDS,
    PROCESSES,
    Race,
    counter,
    each_thread,
    limits_of,
    race_on,
    start,
    until_answered,
)

SETTLED = 2
"""The number of runs that each caller settles in each of two races. Each caller then leaves one more run open."""
CALLERS = 3
"""The number of threads in each process."""
REBUILT: tuple[LimitName, ...] = ("requests_per_day", "sessions_per_day", "tokens_per_month", "cost_per_month")
TENANT = limits_of("tenant", concurrent_turns=128)
KEY = limits_of("key", concurrent_turns=128)


def mix(race: Race) -> list[Reservation]:
    """Admit and settle turns. As in chat, the ledger entry is written before the settlement.

    Each thread leaves its last turn open. Return the reservations of these turns.
    """
    service = race.service()
    ledger = LedgerStore(service.table)

    def admit(*, new_session: bool) -> Reservation:
        request = race.request(new_session=new_session)
        answer = until_answered(lambda: service.admit(request, race.scopes))
        assert isinstance(answer, Admitted)
        return answer.reservation

    def settle(number: int) -> None:
        reservation = admit(new_session=number == 0)
        entry = _entry(race, reservation, tokens=10 + number, cost_nanos=7 + number)
        until_answered(lambda: ledger.put(entry))
        used = Used(entry.total_tokens, entry.cost_nanos)
        until_answered(lambda: service.settle(reservation, used))

    def run(_: int) -> Reservation:
        for number in range(SETTLED):
            settle(number)
        return admit(new_session=False)

    return each_thread(race, run, CALLERS)


def _entry(race: Race, reservation: Reservation, *, tokens: int, cost_nanos: int) -> LedgerEntry:
    return LedgerEntry(
        run_id=reservation.run_id,
        tenant_id=race.tenants[0],
        at=race.clock(),
        agent_id=AgentId(IDS["agent"]),
        principal_id=IDS["key"],
        session_id=SessionId("ses_" + reservation.run_id[-26:]),
        model="claude-haiku-5-5",
        provider="anthropic",
        status="succeeded",
        tokens=Usage(input_tokens=tokens),
        tool_calls={},
        cost_nanos=cost_nanos,
        admitted={name: slot.admitted for name, slot in reservation.slots.items()},
        new_session=reservation.own.new_session,
    )


def damage(race: Race, more: Mapping[LimitName, int]) -> None:
    for name, amount in more.items():
        counted = DEFINITIONS[name].counter(int(race.clock().timestamp()))
        update = Update(keys.admission(""), "ADD #name :more", ANY, {"more": amount}, {"name": counted})
        race.service().table.write(update)


def expected(table: TenantTable, race: Race, still_open: Iterable[Reservation]) -> list[int]:
    entries = [entry for entry, _ in LedgerStore(table).read_month(keys.month(race.clock()))]
    slots = [each.own for each in still_open]
    return [
        len(entries) + len(slots),
        sum(each.new_session for each in entries) + sum(each.new_session for each in slots),
        sum(each.total_tokens for each in entries) + sum(each.tokens_in_all for each in slots),
        sum(each.cost_nanos for each in entries) + sum(each.cost_in_all_nanos for each in slots),
    ]


def test_rebuilds_during_calls(processes: ProcessPoolExecutor, dynamodb_table: PhysicalTable) -> None:
    race = race_on(dynamodb_table, TENANT, lost=0.05)
    quiet = replace(race, lost=0.0)
    table, clock = quiet.service().table, race.clock
    before = [each for own in start(processes, mix, race) for each in own]
    damage(quiet, {"tokens_per_month": 4_711, "cost_per_month": -99, "sessions_per_day": 3})

    begin_counting(table, clock, IDS["key"])
    wanted = RebuildStore(table).get()
    assert wanted is not None
    both: tuple[ScopeLimits, ...] = (KEY, TENANT)
    at = time.time() + 0.2
    races = [replace(race, scopes=both, start_at=at, seed=99 + number) for number in range(PROCESSES)]
    calling = [processes.submit(mix, each) for each in races]
    done = run_rebuild(table, clock, wanted.id)
    assert done is not None
    assert done.report is not None
    found = {each.limit for each in done.report.counters if each.subject == ""}
    assert found == {"tokens_per_month", "cost_per_month", "sessions_per_day"}
    while not all(each.done() for each in calling):
        again = Rebuilder(table, clock).rebuild(clock().date(), "again")
        assert not [each for each in again.counters if each.subject == ""]
    after = [each for call in calling for each in call.result()]

    items = race.items()
    assert [counter(items[""], name) for name in REBUILT] == expected(table, race, [*before, *after])
    assert [counter(items[IDS["key"]], name) for name in REBUILT] == expected(table, race, after), (
        "what the key used before it had limits is counted, too; its runs that were open then, once they are settled"
    )
    assert [each for each in Rebuilder(table, clock).compare().counters if not each.is_explained] == []
