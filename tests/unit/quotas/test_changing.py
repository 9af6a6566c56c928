"""Limits and plans that change while turns run: nothing is admitted twice, what was used stays so, no hold is lost."""

import pytest
from atrium.kernel.errors import NotFound
from atrium.quotas.model import Admitted, NotHeld, Refused, Renewed, Settled, Subject
from atrium.storage.table import PhysicalTable
from atrium.tenants.store import TenantStore

from tests.builders.runtimes import TurnedClock
from tests.unit.quotas.changes import Changing, open_changing
from tests.unit.quotas.rooms import check_item


@pytest.fixture
def clock() -> TurnedClock:
    return TurnedClock()


def use_up(tenant: Changing, clock: TurnedClock, tokens: int = 0) -> int:
    """Admit and settle until a refusal; return how many were admitted."""
    for admitted in range(500):
        answer = tenant.ask(tokens)
        if isinstance(answer, Refused):
            return admitted
        tenant.service.settle(answer.hold, tokens, 0)
        clock.turn(0.5)
    raise AssertionError("nothing binds")


@pytest.mark.parametrize(("one", "other"), [(2, 50), (50, 2), (50, 20), (20, 50), (50, 17)])
def test_what_was_used_stays_used_over_any_number_of_shards(
    physical_table: PhysicalTable, clock: TurnedClock, one: int, other: int
) -> None:
    tenant = open_changing(physical_table, clock, limits={"concurrent_turns": one, "requests_per_day": 30})
    for _ in range(12):
        tenant.service.settle(tenant.admit(10), 7, 0)
    tenant.changes.replace({"concurrent_turns": other, "requests_per_day": 30})
    assert (tenant.sum_dated("rd"), tenant.sum_dated("tm"), tenant.sum("tn"), tenant.sum("rn")) == (12, 84, 84, 12)
    for item in tenant.items().values():
        check_item(item)
    assert use_up(tenant, clock) == 18
    assert tenant.sum_dated("rd") == 30


def test_a_plan_that_is_raised_and_lowered(physical_table: PhysicalTable, clock: TurnedClock) -> None:
    tenant = open_changing(physical_table, clock, "free")
    held = [tenant.admit(1_000, 1_000_000) for _ in range(2)]
    assert isinstance(tenant.ask(), Refused)
    tenant.changes.change_plan("pro")
    assert len(tenant.items()) == 4
    more = [tenant.admit(1_000, 1_000_000) for _ in range(4)]
    tenant.changes.change_plan("free")
    assert tenant.live() == 6
    for hold in (*held, *more[:-1]):
        refused = tenant.ask()
        assert isinstance(refused, Refused)
        assert refused.limit == "concurrent_turns"
        assert isinstance(tenant.service.heartbeat(hold), Renewed)
        assert tenant.service.settle(hold, 500, 500_000) == Settled()
        assert tenant.service.settle(hold, 500, 500_000) == NotHeld()
    assert tenant.live() == 1
    assert (tenant.sum_dated("tm"), tenant.sum_dated("cm")) == (5 * 500 + 1_000, 5 * 500_000 + 1_000_000)
    assert isinstance(tenant.ask(), Admitted)
    assert isinstance(tenant.ask(), Refused)


def test_slots_and_holds_are_found_wherever_they_lie(physical_table: PhysicalTable, clock: TurnedClock) -> None:
    tenant = open_changing(physical_table, clock, limits={"concurrent_turns": 16})
    holds = [tenant.admit(100, 1_000) for _ in range(16)]
    tenant.changes.replace({"concurrent_turns": 50})
    assert sorted(len(item["slots"]) for item in tenant.items().values()) == [4, 4, 4, 4]
    for hold in holds:
        clock.turn(1)
        assert isinstance(tenant.service.heartbeat(hold), Renewed)
        assert tenant.service.settle(hold, 60, 700) == Settled()
    assert (tenant.sum_dated("tm"), tenant.sum_dated("cm"), tenant.live()) == (960, 11_200, 0)


def test_a_call_that_knows_the_old_limits_is_decided_by_the_new(
    physical_table: PhysicalTable, clock: TurnedClock
) -> None:
    tenant = open_changing(physical_table, clock, limits={"concurrent_turns": 50, "requests_per_day": 4})
    tenant.changes.replace({"concurrent_turns": 3, "requests_per_day": 4})
    assert [isinstance(tenant.ask(stale=True), Admitted) for _ in range(6)] == [True] * 3 + [False] * 3
    assert tenant.known.shards == 4
    tenant.changes.replace({"concurrent_turns": 50, "requests_per_day": 4})
    assert [isinstance(tenant.ask(stale=True), Admitted) for _ in range(3)] == [True, False, False]


def test_limits_of_a_user_are_dealt_out_too(physical_table: PhysicalTable, clock: TurnedClock) -> None:
    user = Subject("user", "usr_a", {"requests_per_day": 10, "concurrent_turns": 8})
    tenant = open_changing(physical_table, clock, limits={"concurrent_turns": 10})
    for _ in range(6):
        tenant.admit(0, 0, user)
    tenant.changes.replace({"concurrent_turns": 50})
    assert [isinstance(tenant.ask(0, 0, user), Admitted) for _ in range(4)] == [True, True, False, False]


def test_a_lowered_limit_over_the_same_shards_holds(physical_table: PhysicalTable, clock: TurnedClock) -> None:
    tenant = open_changing(physical_table, clock)
    for _ in range(3):
        tenant.admit()
    tenant.changes.replace({"requests_per_day": 3})
    refused = tenant.ask()
    assert isinstance(refused, Refused)
    assert (refused.limit, refused.used, refused.max) == ("requests_per_day", 3, 3)


def test_what_is_raised_over_the_same_shards_moves_nothing(physical_table: PhysicalTable, clock: TurnedClock) -> None:
    tenant = open_changing(physical_table, clock)
    tenant.admit()
    before = tenant.items()
    tenant.changes.replace({"requests_per_day": 200_000})
    assert tenant.items() == before


def test_a_tenant_that_is_gone(physical_table: PhysicalTable, clock: TurnedClock) -> None:
    tenant = open_changing(physical_table, clock)
    service = tenant.changes
    TenantStore(tenant.table).mark_deleted(now=clock())
    with pytest.raises(NotFound):
        service.replace({})
    with pytest.raises(NotFound):
        service.change_plan("free")
