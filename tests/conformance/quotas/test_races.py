"""Races of eight processes with eight threads each, for every limit and scope.

No limit is exceeded, and further calls are admitted until the limit is reached.
"""

from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace

import pytest
from atrium.quotas.model import LimitName, QuotaScope, ScopeLimits, Used, slot_name
from atrium.storage.table import PhysicalTable

from tests.conformance.quotas.racing import (
    CALLERS,
    IDS,
    PROCESSES,
    Race,
    Tally,
    admit,
    count_tool_calls,
    counter,
    create_sessions,
    fill,
    limits_of,
    merge,
    race_on,
    settle,
    start,
)

# The limit, and the number of turns of 100 tokens and 100 nano-dollars that it admits.
LIMITS: dict[LimitName, tuple[int, int]] = {
    "requests_per_minute": (24, 24),
    "tokens_per_minute": (2_199, 21),
    "requests_per_day": (24, 24),
    "sessions_per_day": (17, 17),
    "tokens_per_month": (2_300, 23),
    "cost_per_month": (1_999, 19),
    "concurrent_turns": (12, 12),
}
SCOPES: dict[str, tuple[QuotaScope, ...]] = {
    "tenant": ("tenant",),
    "key and tenant": ("key", "tenant"),
    "agent, key and tenant": ("agent", "key", "tenant"),
}
RUNS = 3
LEAKED_MAX = 1


def bound(names: tuple[QuotaScope, ...], limit: LimitName, *, by: QuotaScope | None) -> tuple[ScopeLimits, ...]:
    """Return the scopes with the tested limit in the scope `by`, or in all scopes if `by` is None.

    The other limits of the scopes are never reached.
    """
    maximum, _ = LIMITS[limit]
    loose: dict[LimitName, int] = {"requests_per_day": 100_000, "concurrent_turns": 128}
    return tuple(
        ScopeLimits(name, {**loose, limit: maximum} if by in {name, None} else loose, IDS[name]) for name in names
    )


def check_full(race: Race, limit: LimitName, found: Tally, *, leaked: int = 0) -> None:
    """Check that exactly the permitted number of turns was admitted, and that every item contains these turns.

    An item may contain up to `leaked` additional slots.
    """
    _, fit = LIMITS[limit]
    assert len(found.granted) == fit
    granted = {slot_name(each.run_id) for each in found.granted}
    for item in race.items().values():
        assert granted <= set(item.slots)
        assert len(item.slots) <= fit + leaked
        assert counter(item, "requests_per_day") == len(item.slots)
        assert counter(item, "tokens_per_month") == 100 * len(item.slots)


@pytest.mark.parametrize(("names", "lost"), [*((names, 0.0) for names in SCOPES), ("agent, key and tenant", 0.2)])
@pytest.mark.parametrize("limit", LIMITS)
def test_never_exceeds_a_limit_and_fills_it(
    processes: ProcessPoolExecutor, dynamodb_table: PhysicalTable, limit: LimitName, names: str, lost: float
) -> None:
    """The first run limits the first scope, the second run limits the tenant, and the third run limits all scopes."""
    _, fit = LIMITS[limit]
    scopes = SCOPES[names]
    for seed, by in zip(range(RUNS), (scopes[0], "tenant", None), strict=True):
        race = race_on(dynamodb_table, *bound(scopes, limit, by=by), lost=lost, seed=seed)
        raced = merge(start(processes, admit, race))
        assert len(raced.granted) <= fit
        assert {each.partition(".")[2] for each in raced.rejected} == {limit}
        if len(scopes) == 1:
            assert len(raced.granted) == fit, "with one scope nothing is given back, so nothing is rejected in vain"
        check_full(race, limit, merge([raced, fill(race)]), leaked=LEAKED_MAX if lost else 0)


def test_several_limits_with_concurrent_settlement(
    processes: ProcessPoolExecutor, dynamodb_table: PhysicalTable
) -> None:
    key = limits_of("key", requests_per_minute=13, concurrent_turns=12)
    tenant = ScopeLimits("tenant", {name: maximum for name, (maximum, _) in LIMITS.items()} | {"concurrent_turns": 16})
    race = race_on(dynamodb_table, key, tenant, lost=0.1)
    reservations = merge([*start(processes, admit, race), fill(race)]).granted
    assert len(reservations) == 12
    quiet = replace(race, lost=0.0)
    used = Used(60, 70)
    assert sum(processes.map(settle, [(quiet, reservations, used)] * PROCESSES)) == 12
    item = race.items()[""]
    assert (dict(item.slots), dict(item.late)) == ({}, {})
    figures = [counter(item, name) for name in ("requests_per_day", "tokens_per_month", "cost_per_month")]
    assert figures == [12, 12 * 60, 12 * 70]
    assert [counter(item, name) for name in ("requests_per_minute", "tokens_per_minute")] == [12, 12 * 60]


@pytest.mark.parametrize(("names", "lost"), [("tenant", 0.0), ("key and tenant", 0.2)])
def test_sessions_created_with_and_without_a_turn(
    processes: ProcessPoolExecutor, lone_table: PhysicalTable, names: str, lost: float
) -> None:
    maximum, _ = LIMITS["sessions_per_day"]
    for seed in range(RUNS):
        race = race_on(lone_table, *bound(SCOPES[names], "sessions_per_day", by=SCOPES[names][0]), lost=lost, seed=seed)
        raced = merge([*start(processes, create_sessions, race), fill(race)])
        service = race.service()
        marks = [mark for mark in service.store.read_session_marks(race.clock().date()) if "" in mark]
        assert raced.rejected["created"] == len(marks)
        assert len(marks) + len(raced.granted) == maximum
        for item in race.items().values():
            assert maximum <= counter(item, "sessions_per_day") <= maximum + (LEAKED_MAX if lost else 0)


@pytest.mark.parametrize("scopes", [*SCOPES.values(), ("tool", "tenant"), ("tool", "agent", "key", "tenant")])
def test_tool_calls(
    processes: ProcessPoolExecutor, dynamodb_table: PhysicalTable, scopes: tuple[QuotaScope, ...]
) -> None:
    for seed in range(RUNS):
        limited = tuple(limits_of(name, tool_calls_per_minute=20 + at) for at, name in enumerate(scopes))
        race = race_on(dynamodb_table, *limited, seed=seed)
        found = merge(start(processes, count_tool_calls, race)).rejected
        assert found["counted"] == 20
        assert sum(found.values()) == CALLERS
