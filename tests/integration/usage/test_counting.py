"""Usage counting: each ledger entry is counted once, for any order and number of deliveries.

Failures of the table do not change the totals.
"""

import random
from collections.abc import Iterable
from dataclasses import asdict
from datetime import date, timedelta

import pytest
from atrium.kernel.errors import Unavailable
from atrium.kernel.ids import TenantId
from atrium.storage.keys import Key
from atrium.storage.table import PhysicalTable, Query, TenantTable
from atrium.storage.writes import ANY, Put, Update
from atrium.usage.model import Arrival, Figures, LedgerEntry, SumKey
from atrium.usage.rebuild import FrozenSums, SumTally, count_uncounted, read_days
from atrium.usage.service import UsageCounter
from atrium.usage.shared import NAMES_MAX
from atrium.usage.store import LedgerStore, ledger_key
from atrium.usage.sums import SumStore, contributions, merge, sum_key
from botocore.exceptions import ClientError

from tests.builders.gateway import OTHER_TENANT_ID, TENANT_ID
from tests.builders.ledger import NOON, USER_ID, build_entry
from tests.builders.refusals import losing_reply, refusing

TOTAL = SumKey(date(2026, 11, 21), "TOTAL")


def settle(table: PhysicalTable, entries: Iterable[LedgerEntry]) -> list[Arrival]:
    """Write entries to the ledger. Return the entries as the stream delivers them."""
    arrivals: list[Arrival] = []
    for entry in entries:
        assert LedgerStore(TenantTable(table, entry.tenant_id)).put(entry)
        arrivals.append(Arrival(entry, f"{len(arrivals):021}"))
    return arrivals


def counter(table: PhysicalTable, pauses: list[float] | None = None) -> UsageCounter:
    heard = pauses if pauses is not None else []
    return UsageCounter(lambda tenant_id: TenantTable(table, tenant_id), sleep=heard.append)


def sums(table: PhysicalTable, tenant_id: str = TENANT_ID) -> SumStore:
    return SumStore(TenantTable(table, TenantId(tenant_id)))


def total(table: PhysicalTable, tenant_id: str = TENANT_ID) -> Figures:
    return sums(table, tenant_id).read([TOTAL]).get(TOTAL, Figures())


def mixed(count: int) -> list[LedgerEntry]:
    return [
        build_entry(
            at=NOON - timedelta(days=number % 3),
            cost_nanos=number,
            principal_id=USER_ID if number % 2 else build_entry().principal_id,
            model="claude-haiku-5-5" if number % 5 else "claude-opus-5-5",
            tool_calls={f"tool_{number % 4}": number} if number % 4 else None,
        )
        for number in range(count)
    ]


def test_sums_are_those_of_the_entries(physical_table: PhysicalTable) -> None:
    entries = mixed(60)
    assert counter(physical_table).count(settle(physical_table, entries)) == {}

    expected = merge(contributions(entry) for entry in entries)
    assert sums(physical_table).read(expected) == expected


def test_delivery_again_in_any_order_and_in_other_pieces_counts_nothing_twice(physical_table: PhysicalTable) -> None:
    entries = mixed(16)
    arrivals = settle(physical_table, entries)
    chance = random.Random(7)
    for _ in range(6):
        chance.shuffle(arrivals)
        counter(physical_table).count(arrivals[: chance.randrange(1, 16)])
    counter(physical_table).count(arrivals)
    counter(physical_table).count([*arrivals, *arrivals])

    expected = merge(contributions(entry) for entry in entries)
    assert sums(physical_table).read(expected) == expected


def test_separates_tenants(physical_table: PhysicalTable) -> None:
    ours, theirs = build_entry(cost_nanos=1), build_entry(tenant_id=OTHER_TENANT_ID, cost_nanos=2)
    counter(physical_table).count(settle(physical_table, [ours, theirs]))

    assert total(physical_table).cost_nanos == 1
    assert total(physical_table, OTHER_TENANT_ID).cost_nanos == 2


def test_an_entry_that_is_gone_is_not_counted(physical_table: PhysicalTable) -> None:
    assert counter(physical_table).count([Arrival(build_entry(), "1")]) == {}
    assert total(physical_table) == Figures()


def test_money_is_exact_beyond_the_reach_of_floats(physical_table: PhysicalTable) -> None:
    entries = [build_entry(cost_nanos=10**17 + 1), build_entry(cost_nanos=10**17 + 2)]
    counter(physical_table).count(settle(physical_table, entries))
    assert total(physical_table).cost_nanos == 2 * 10**17 + 3


def test_retries_and_reports_a_busy_table(physical_table: PhysicalTable) -> None:
    arrivals, pauses = settle(physical_table, [build_entry(), build_entry()]), list[float]()
    with refusing(physical_table, "TransactWriteItems", "ThrottlingException") as refused:
        failures = counter(physical_table, pauses).count(arrivals)

    assert {sequence: type(error) for sequence, error in failures.items()} == {
        arrival.sequence: Unavailable for arrival in arrivals
    }
    assert len(refused) == 4
    assert len(pauses) == 3
    assert all(0 <= pause <= 0.2 for pause in pauses)
    assert total(physical_table) == Figures()


def test_a_reply_that_was_lost_counts_nothing_twice(physical_table: PhysicalTable) -> None:
    arrivals = settle(physical_table, mixed(3))
    with losing_reply(physical_table, "TransactWriteItems") as lost:
        assert counter(physical_table).count(arrivals) == {}

    assert len(lost) == 1
    expected = merge(contributions(arrival.entry) for arrival in arrivals)
    assert sums(physical_table).read(expected) == expected


def test_a_failure_of_one_tenant_does_not_affect_others(physical_table: PhysicalTable) -> None:
    arrivals = settle(physical_table, [build_entry(), build_entry(tenant_id=OTHER_TENANT_ID)])
    with refusing(physical_table, "TransactWriteItems", "ThrottlingException", about=TENANT_ID):
        failures = counter(physical_table).count(arrivals)

    assert list(failures) == [arrivals[0].sequence]
    assert total(physical_table, OTHER_TENANT_ID).requests == 1


def test_an_unexpected_error_is_not_retried(physical_table: PhysicalTable) -> None:
    arrivals = settle(physical_table, [build_entry()])
    with refusing(physical_table, "TransactWriteItems", "ValidationException"), pytest.raises(ClientError):
        counter(physical_table).count(arrivals)


def own_items(table: PhysicalTable) -> list[str]:
    """Return the sort keys of one day's usage items."""
    return [item["sk"] for item in TenantTable(table, TenantId(TENANT_ID)).query(Query("USAGE#2026-11-21")).items]


def test_an_entry_is_three_writes_whatever_it_used(physical_table: PhysicalTable) -> None:
    arrivals = settle(physical_table, [build_entry(tool_calls={"calculator": 1, "now": 2})])
    sent: list[int] = []
    physical_table.client.meta.events.register(
        "provide-client-params.dynamodb.TransactWriteItems",
        lambda params, **_: sent.append(len(params["TransactItems"])),
    )
    counter(physical_table).count(arrivals)
    assert sent == [3]
    assert own_items(physical_table) == [f"KEY#{build_entry().principal_id}", "TOTAL"]


def test_a_full_shared_item_takes_known_names_and_no_new_ones(physical_table: PhysicalTable) -> None:
    entries = [build_entry(model=f"m{number:02}", agent_id="a") for number in range(NAMES_MAX - 1)]
    counter(physical_table).count(settle(physical_table, entries))
    assert len(own_items(physical_table)) == 2
    more = [build_entry(model=name, agent_id="a") for name in ("m00", "z1", "m00", "z2")]
    for entry in more:
        counter(physical_table).count(settle(physical_table, [entry]))
    assert [sort for sort in own_items(physical_table) if sort < "K"] == ["AGENT#a"]
    assert [sort for sort in own_items(physical_table) if sort.startswith("MODEL")] == ["MODEL#z1", "MODEL#z2"]
    expected = merge(contributions(entry) for entry in [*entries, *more])
    assert sums(physical_table).read(expected) == expected


@pytest.mark.parametrize("is_full", [False, True])
def test_entries_of_a_frozen_day_stay_unmarked(physical_table: PhysicalTable, is_full: bool) -> None:
    if is_full:
        counter(physical_table).count(settle(physical_table, [build_entry(model=f"m{at}") for at in range(NAMES_MAX)]))
    table = TenantTable(physical_table, TenantId(TENANT_ID))
    before = read_days(table, [TOTAL.day])
    FrozenSums(table, "t", (TOTAL.day,)).freeze()
    frozen, other = build_entry(), build_entry(at=NOON - timedelta(days=1))
    assert counter(physical_table).count(settle(physical_table, [frozen, other])) == {}
    assert read_days(table, [TOTAL.day]) == (before or {TOTAL: Figures()})
    assert "counted" not in (table.get(ledger_key(frozen.run_id)) or {})
    assert "counted" in (table.get(ledger_key(other.run_id)) or {})


def write_old_layout(table: TenantTable, entries: Iterable[LedgerEntry]) -> None:
    """Write ledger entries that are marked as counted, and one item per aggregate, as earlier releases did.

    These releases also wrote an item for each session.
    """
    for entry in entries:
        assert LedgerStore(table).put(entry)
        table.write(Update(ledger_key(entry.run_id), "SET #counted = :one", ANY, {"one": "1"}))
        for key, figures in contributions(entry).items():
            values = {name: value for name, value in asdict(figures).items() if value}
            table.write(Update(sum_key(key), "ADD " + ", ".join(f"#{name} :{name}" for name in values), ANY, values))
        table.write(Put(Key("USAGE#2026-11-21", f"SESSION#{entry.session_id}"), {"requests": 1}, ANY))


def test_sums_of_the_layout_before_count_on_and_a_rebuild_converts_them(physical_table: PhysicalTable) -> None:
    table = TenantTable(physical_table, TenantId(TENANT_ID))
    old = [build_entry(tool_calls={"calculator": 2}), build_entry(model="claude-opus-5-5", principal_id=USER_ID)]
    new = [build_entry(cost_nanos=7, tool_calls={"calculator": 1, "now": 1})]
    write_old_layout(table, old)
    counter(physical_table).count(settle(physical_table, new))
    expected = merge(contributions(entry) for entry in [*old, *new])
    assert read_days(table, [TOTAL.day]) == expected, "nothing differs before the rebuild"
    store = sums(physical_table)
    shared = store.read_shared([TOTAL.day])[TOTAL.day]
    found = {
        key: figures
        for group in ("MODEL", "AGENT", "TOOL")
        for value, figures in store.first(TOTAL.day, group, after="", limit=9, shared=shared).items()
        for key in [SumKey(TOTAL.day, group, value)]
    }
    assert found == {key: each for key, each in expected.items() if key.group in {"MODEL", "AGENT", "TOOL"}}

    frozen, tally = FrozenSums(table, "t", (TOTAL.day,)), SumTally(frozenset({TOTAL.day}))
    frozen.freeze()
    for entry, is_counted in LedgerStore(table).read_month("2026-11"):
        assert is_counted
        tally.add(entry)
    assert frozen.correct(tally, read_days(table, [TOTAL.day])) == 0
    assert own_items(physical_table) == [f"KEY#{build_entry().principal_id}", "TOTAL", f"USER#{USER_ID}"]
    assert read_days(table, [TOTAL.day]) == expected
    assert count_uncounted(table, ["2026-11"], "t") == (0, 0)
