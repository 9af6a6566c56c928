"""Leases of the platform's ceiling that die, or are overtaken, between any two of their calls."""

import random
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest
from atrium.kernel.ids import mint_tenant_id
from atrium.quotas.ceiling import BLOCK_SECONDS, GRACE_SECONDS
from atrium.quotas.model import Admitted, LeaseLost, Renewed
from atrium.quotas.state import State
from atrium.storage.table import PhysicalTable

from tests.builders.wires import Kill, Killed, Recorder, intercepted
from tests.unit.quotas.platforms import Platform
from tests.unit.quotas.rebuilding import before_each_call
from tests.unit.quotas.rooms import START


@pytest.fixture
def platform(physical_table: PhysicalTable) -> Platform:
    return Platform(physical_table, 100, tuple(mint_tenant_id(START) for _ in range(3)))


@pytest.mark.parametrize("seed", range(4))
def test_whatever_happens_no_more_run_than_the_ceiling_says(platform: Platform, seed: int) -> None:
    """Tenants are admitted, renewed, settled; processes die between any two calls; time goes on."""
    chance = random.Random(seed)
    platform.maximum = chance.choice([2, 5, 11])
    for _ in range(120):
        kill = Kill(chance.randrange(0, 9), chance.random() < 0.5)
        step = chance.choice(["admit", "admit", "admit", "renew", "settle", "turn"])
        try:
            with intercepted(platform.physical.client, kill if chance.random() < 0.3 else Recorder()):
                act(platform, step, chance)
        except Killed:
            pass
        platform.check()
    platform.turn(2 * BLOCK_SECONDS)
    last = [platform.admit(platform.tenants[0]) for _ in range(9)]
    assert sum(isinstance(answer, Admitted) for answer in last) == min(8, platform.maximum)


def overtaken(platform: Platform, act: Callable[[], None], *, after: str) -> AbstractContextManager[None]:
    """Let others act once: before the first update of an item that follows a call of that name."""
    calls: list[str] = []

    def meddle(operation: str) -> None:
        if operation == "UpdateItem" and after in calls and "met" not in calls:
            calls.append("met")
            act()
        if "met" in calls:
            platform.check()
        calls.append(operation)

    return before_each_call(platform.physical, meddle)


def test_who_is_overtaken_while_his_block_grows_starts_again(platform: Platform) -> None:
    platform.maximum = 30
    tenant = platform.tenants[0]
    for _ in range(4):
        platform.admit(tenant)
    platform.turn(50)
    for _, hold in platform.holds:
        assert isinstance(platform.service(tenant).store.renew(hold), Renewed)
    platform.turn(15)

    def shrink() -> None:
        for held in list(platform.holds):
            platform.settle(*held)
        assert isinstance(platform.admit(tenant), Admitted)

    before = platform.blocks()[f"{tenant}/0"]["n"]
    with overtaken(platform, shrink, after="PutItem"):
        assert isinstance(platform.admit(tenant), Admitted)
    assert before == 4
    platform.check()


def test_a_block_does_not_shrink_below_what_was_admitted_meanwhile(platform: Platform) -> None:
    """The one who renews has a clock that is ahead, so that the others need no lease at that moment."""
    platform.maximum = 60
    tenant = platform.tenants[0]
    for _ in range(8):
        platform.admit(tenant)
    for held in list(platform.holds)[1:]:
        platform.settle(*held)
    assert platform.item(tenant)["bk"] >= 8
    platform.turn(59)
    hold = platform.holds[0][1]

    def admit_more() -> None:
        assert all(isinstance(platform.admit(tenant), Admitted) for _ in range(7))

    with overtaken(platform, admit_more, after="GetItem"):
        assert isinstance(platform.service(tenant, ahead=2).store.renew(hold), Renewed)
    assert platform.live() <= platform.item(tenant)["bk"]
    platform.check()


def test_slots_that_lapsed_are_not_renewed_beyond_a_block_that_is_smaller_since(platform: Platform) -> None:
    platform.maximum = 6
    tenant, other, _ = platform.tenants
    for _ in range(5):
        assert isinstance(platform.admit(tenant), Admitted)
    frozen = [hold for _, hold in platform.holds]
    platform.turn(BLOCK_SECONDS + GRACE_SECONDS + 1)
    assert all(isinstance(platform.admit(other), Admitted) for _ in range(5))
    store = platform.service(tenant).store
    assert store.lender is not None
    state, until = State(store.read(0), platform.now.timestamp()), int(platform.now.timestamp()) + 61
    leased = store.lender.lease(store.table, store.key_of(0), state, until, more=1)
    assert isinstance(leased, State)
    assert leased.block.size == 1
    assert {type(store.renew(hold)) for hold in frozen} == {LeaseLost}
    assert platform.live() == 5


@pytest.mark.parametrize("seed", range(6))
def test_others_act_between_any_two_calls_of_a_lease(platform: Platform, seed: int) -> None:
    """Grown, shrunk, renewed and let lapse by others, also by other processes of the same tenant, at any point."""
    chance = random.Random(seed)
    platform.maximum = chance.choice([3, 6, 30])

    def meddle(_: str) -> None:
        if chance.random() < 0.15:
            act(platform, chance.choice(["admit", "admit", "renew", "settle", "settle", "turn"]), chance)
        platform.check()

    with before_each_call(platform.physical, meddle):
        for _ in range(40):
            act(platform, chance.choice(["admit", "admit", "renew", "settle", "turn"]), chance)
    platform.check()


def act(platform: Platform, step: str, chance: random.Random) -> None:
    if step == "admit":
        platform.admit(chance.choice(platform.tenants))
    elif step == "turn":
        platform.turn(chance.choice([1, 5, 20, 70, 130]))
    elif platform.holds:
        tenant, hold = chance.choice(platform.holds)
        if step == "settle":
            platform.holds.remove((tenant, hold))
            platform.service(tenant).settle(hold, 0, 0)
        else:
            platform.service(tenant).store.renew(hold)
