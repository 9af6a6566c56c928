"""The platform's ceiling: leased in blocks, exact whoever dies where, and free again for others in time."""

import pytest
from atrium.kernel.ids import mint_tenant_id
from atrium.quotas.ceiling import BLOCK_SECONDS, GRACE_SECONDS, Full, Grant, Wanted, plan_grant
from atrium.quotas.model import AdmissionRequest, Admitted, LeaseLost, Refused, Renewed
from atrium.quotas.service import AdmissionService
from atrium.quotas.terms import Terms
from atrium.quotas.trial import trial_of
from atrium.settings import Settings, SettingsInvalid
from atrium.storage.table import PhysicalTable

from tests.builders.wires import Recorder, intercepted, lose_replies
from tests.unit.quotas.platforms import FEW, Platform
from tests.unit.quotas.rooms import START, make_run_id


@pytest.fixture
def platform(physical_table: PhysicalTable) -> Platform:
    return Platform(physical_table, 100, tuple(mint_tenant_id(START) for _ in range(3)))


def granted(answer: Grant | Full) -> Grant:
    assert isinstance(answer, Grant)
    return answer


def test_spare_slots_are_few_and_none_where_little_is_left() -> None:
    sizes = {}
    for maximum in (1, 8, 9, 17, 100):
        sizes[maximum] = granted(plan_grant({}, "a", Wanted(1, 0, 0), 0, maximum)).block.size
    assert sizes == {1: 1, 8: 1, 9: 2, 17: 3, 100: 5}


def test_others_blocks_count_until_they_are_over_for_everybody() -> None:
    blocks = {"b": {"n": 2, "u": 100}}
    assert plan_grant(blocks, "a", Wanted(2, 0, 0), 100 + GRACE_SECONDS, 3) == Full(2, 3)
    late = granted(plan_grant(blocks, "a", Wanted(2, 0, 0), 101 + GRACE_SECONDS, 3))
    assert set(late.blocks) == {"a"}


def test_a_block_that_is_alive_never_shrinks_below_what_runs() -> None:
    blocks = {"a": {"n": 5, "u": 100}, "b": {"n": 5, "u": 100}}
    same = granted(plan_grant(blocks, "a", Wanted(5, 5, 150), 90, 10))
    assert (same.block.size, same.shrinks, same.block.until) == (5, False, 90 + BLOCK_SECONDS)
    less = granted(plan_grant(blocks, "a", Wanted(1, 1, 150), 90, 10))
    assert (less.block.size, less.shrinks) == (1, True)


def test_under_a_live_block_an_admission_costs_one_write(platform: Platform) -> None:
    tenant = platform.tenants[0]
    platform.admit(tenant)
    recorder = Recorder()
    with intercepted(platform.physical.client, recorder):
        for _ in range(4):
            assert isinstance(platform.admit(tenant), Admitted)
    assert recorder.operations == ["UpdateItem"] * 4
    assert platform.blocks() == {f"{tenant}/0": {"n": 5, "u": int(START.timestamp()) + BLOCK_SECONDS}}
    assert isinstance(platform.admit(tenant), Admitted), "a block grows"
    assert platform.blocks()[f"{tenant}/0"]["n"] >= 6


def test_what_the_platform_refuses_is_named_and_charged_nowhere(platform: Platform) -> None:
    platform.maximum = 2
    first, second, third = platform.tenants
    assert isinstance(platform.admit(first), Admitted)
    assert isinstance(platform.admit(second), Admitted)
    for tenant in (first, third):
        before = platform.item(tenant)
        answer = platform.admit(tenant)
        assert isinstance(answer, Refused)
        assert (answer.limit, answer.scope, answer.used, answer.max) == ("platform_concurrency", "platform", 2, 2)
        assert answer.retry_after_seconds == 1
        assert platform.item(tenant) == before
    platform.settle(*platform.holds[0])
    assert isinstance(platform.admit(first), Admitted), "its block is its own still"
    own = Terms({"concurrent_turns": 1})
    assert getattr(platform.admit(second, terms=own), "limit", "") == "concurrent_turns", "the tenant's own comes first"


def test_many_tenants_that_are_seldom_called_do_not_hold_what_nobody_uses(physical_table: PhysicalTable) -> None:
    platform = Platform(physical_table, 8, tuple(mint_tenant_id(START) for _ in range(12)))
    for tenant in platform.tenants * 2:
        assert isinstance(platform.admit(tenant), Admitted)
        platform.settle(*platform.holds[0])
        platform.check()
    assert sum(block["n"] for block in platform.blocks().values()) <= 3
    running = [platform.admit(tenant) for tenant in platform.tenants[-8:]]
    assert sum(isinstance(answer, Admitted) for answer in running) >= 6


def test_where_there_is_plenty_a_block_stays(platform: Platform) -> None:
    platform.admit(platform.tenants[0])
    recorder = Recorder()
    with intercepted(platform.physical.client, recorder):
        platform.settle(*platform.holds[0])
    assert recorder.operations == ["UpdateItem"]
    assert len(platform.blocks()) == 1


def test_a_trial_looks_at_the_ceiling_and_takes_nothing(platform: Platform) -> None:
    platform.maximum = 1
    first, second, _ = platform.tenants
    platform.admit(first)
    for tenant, expected in ((second, "platform_concurrency"), (first, "platform_concurrency")):
        before = platform.blocks(), platform.item(tenant)
        store = platform.service(tenant).store
        answer = AdmissionService(trial_of(store)).admit(AdmissionRequest(make_run_id(platform.now), 0, 0), FEW)
        assert getattr(answer, "limit", "") == expected
        assert (platform.blocks(), platform.item(tenant)) == before
    platform.settle(*platform.holds[0])
    store = platform.service(second).store
    answer = AdmissionService(trial_of(store)).admit(AdmissionRequest(make_run_id(platform.now), 0, 0), FEW)
    assert isinstance(answer, Admitted)
    assert not platform.item(second)


def test_a_tenant_without_any_limit_is_under_the_ceiling(platform: Platform) -> None:
    platform.maximum = 1
    first, second, _ = platform.tenants
    assert isinstance(platform.admit(first, terms=Terms({})), Admitted)
    refused = platform.admit(second, terms=Terms({}))
    assert isinstance(refused, Refused)
    assert (refused.limit, refused.readings) == ("platform_concurrency", ())


def test_a_tenant_of_many_items_that_is_seldom_called_has_one_block(platform: Platform) -> None:
    tenant, terms = platform.tenants[0], Terms({"concurrent_turns": 50})
    service = platform.service(tenant)
    for _ in range(12):
        platform.turn(2)
        read = [service.store.read(shard) for shard in range(terms.shards)]
        answer = service.admit(AdmissionRequest(make_run_id(platform.now), 0, 0), terms, read)
        assert isinstance(answer, Admitted)
        service.settle(answer.hold, 0, 0)
    assert (terms.shards, len(platform.blocks())) == (4, 1)


def test_a_dead_tenants_block_comes_back(platform: Platform) -> None:
    platform.maximum = 1
    dead, alive, _ = platform.tenants
    platform.admit(dead)
    platform.turn(BLOCK_SECONDS + GRACE_SECONDS - 1)
    assert isinstance(platform.admit(alive), Refused)
    platform.turn(1)
    assert isinstance(platform.admit(alive), Admitted)
    assert isinstance(platform.admit(dead), Refused)
    assert platform.live() == 1


def test_heartbeats_keep_the_block_and_who_is_too_late_has_lost_it(platform: Platform) -> None:
    platform.maximum = 1
    tenant, other, _ = platform.tenants
    platform.admit(tenant)
    (_, hold), store = platform.holds[0], platform.service(tenant).store
    for _ in range(20):
        platform.turn(15)
        assert isinstance(store.renew(hold), Renewed)
        slot, block = next(iter(platform.item(tenant)["slots"].values())), platform.blocks()[f"{tenant}/0"]
        assert slot["e"] <= platform.item(tenant)["bu"] <= block["u"]
        assert isinstance(platform.admit(other), Refused)
    platform.turn(BLOCK_SECONDS + GRACE_SECONDS + 1)
    assert isinstance(platform.admit(other), Admitted)
    assert isinstance(store.renew(hold), LeaseLost)


def test_a_block_that_is_renewed_gives_back_what_it_does_not_need(platform: Platform) -> None:
    platform.maximum = 8
    tenant, other, _ = platform.tenants
    for _ in range(8):
        assert isinstance(platform.admit(tenant), Admitted)
    for held in list(platform.holds)[1:]:
        platform.settle(*held)
    assert isinstance(platform.admit(other), Refused)
    for _ in range(6):
        platform.turn(15)
        platform.service(tenant).store.renew(platform.holds[0][1])
    assert platform.blocks()[f"{tenant}/0"]["n"] == platform.item(tenant)["bk"] < 8
    assert isinstance(platform.admit(other), Admitted)


def test_replies_that_are_lost_lease_once(platform: Platform) -> None:
    platform.maximum = 2
    tenant = platform.tenants[0]
    with intercepted(platform.physical.client, lose_replies):
        answers = [platform.admit(tenant) for _ in range(3)]
    assert [isinstance(answer, Admitted) for answer in answers] == [True, True, False]
    assert (platform.live(), sum(block["n"] for block in platform.blocks().values())) == (2, 2)


@pytest.mark.parametrize("value", ["0", "-2", "many", "1.5"])
def test_a_ceiling_that_makes_no_sense_is_refused(value: str) -> None:
    with pytest.raises(SettingsInvalid, match="PLATFORM_CONCURRENCY"):
        Settings.read({"PLATFORM_CONCURRENCY": value})
    assert Settings.read({"PLATFORM_CONCURRENCY": "-1"}).platform_concurrency == -1
