"""Ten thousand mixed calls, then a rebuild while a hundred more arrive: the same numbers, to the nano-dollar."""

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest
from atrium.kernel.clock import read_clock
from atrium.kernel.ids import mint_tenant_id
from atrium.quotas.meters import METERS
from atrium.quotas.model import LimitName
from atrium.quotas.rebuild.service import Rebuilder
from atrium.quotas.terms import Terms
from atrium.storage import keys
from atrium.storage.queries import Query
from atrium.storage.table import PhysicalTable, TenantTable
from atrium.storage.writes import ANY, Delete, Update
from atrium.usage.model import Figures, SumKey, month_of
from atrium.usage.rebuild import read_days
from atrium.usage.sums import contributions, merge, sum_key

from tests.builders.mixing import tokens_of
from tests.conformance.quotas.mixing import Mixture, Outcome, mix

pytestmark = pytest.mark.timeout(1_500)

PROCESSES = 2
CALLS = 10_000
TERMS = Terms(
    {
        "requests_per_day": 1_000_000,
        "tokens_per_month": 1_000_000_000,
        "cost_per_month": 10_000_000_000_000,
        "concurrent_turns": 128,
    }
)
REBUILT: tuple[LimitName, ...] = ("requests_per_day", "tokens_per_month", "cost_per_month")


@pytest.fixture(scope="module")
def processes() -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(PROCESSES, mp_context=get_context("spawn")) as pool:
        yield pool


def counters(table: TenantTable) -> list[int]:
    items, now = table.query(Query("ADMISSION", limit=100)).items, int(read_clock().timestamp())
    return [sum(item.get(METERS[limit].attribute("", now), 0) for item in items) for limit in REBUILT]


def damage(table: TenantTable, shard: int, limit: LimitName, more: int) -> None:
    name = METERS[limit].attribute("", int(read_clock().timestamp()))
    table.write(Update(keys.admission(shard), "ADD #name :more", ANY, {"more": more}, {"name": name}))


def expected(outcomes: list[Outcome]) -> list[int]:
    settled = [entry for outcome in outcomes for entry in outcome.settled]
    held = [hold for outcome in outcomes for hold in outcome.open]
    return [
        len(settled) + len(held),
        sum(map(tokens_of, settled)) + sum(hold.tokens for hold in held),
        sum(entry.cost_nanos for entry in settled) + sum(hold.cost_nanos for hold in held),
    ]


def test_ten_thousand_calls_and_a_hundred_more(lone_table: PhysicalTable, processes: ProcessPoolExecutor) -> None:
    tenant, now = mint_tenant_id(read_clock()), read_clock()
    table, url = TenantTable(lone_table, tenant), lone_table.client.meta.endpoint_url
    given = [
        Mixture(url, lone_table.name, tenant, TERMS, CALLS // PROCESSES, seed, delivers=True)
        for seed in range(PROCESSES)
    ]
    outcomes = list(processes.map(mix, given))
    assert sum(len(each.settled) + len(each.open) for each in outcomes) == CALLS
    assert counters(table) == expected(outcomes)

    damage(table, 0, "tokens_per_month", 4_711)
    damage(table, 3, "cost_per_month", -99)
    table.write(Delete(sum_key(SumKey(now.date(), "MODEL", "claude-haiku-5-5")), ANY))

    more = [processes.submit(mix, Mixture(url, lone_table.name, tenant, TERMS, 100, 77, delivers=True))]
    rebuilder, rounds = Rebuilder(table, read_clock), 0
    reports = []
    while not all(each.done() for each in more) or rounds < 2:
        reports.append(rebuilder.rebuild(now.date(), f"r{rounds}"))
        rounds += 1
    outcomes += [each.result() for each in more]

    assert [each.limit for each in reports[0].counters] == ["cost_per_month", "tokens_per_month"]
    assert [(each.counters, each.sums) for each in reports[1:]] == [((), 0)] * (rounds - 1)
    rebuilder.rebuild(now.date(), "last")  # counts what came while the one before had frozen its day
    assert counters(table) == expected(outcomes)
    sums = merge(contributions(entry) for outcome in outcomes for entry in outcome.settled)
    stored = read_days(table, month_of(now.date()).days())
    assert {key: figures for key, figures in stored.items() if figures != Figures()} == sums
    assert rebuilder.compare().faults == 0
