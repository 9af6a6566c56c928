"""The platform limit: the items' shares add up to the limit, full items are skipped, and slots are released."""

from collections.abc import Callable
from typing import Any

import pytest
from atrium.kernel.errors import Unavailable
from atrium.quotas.model import AdmissionRequest, Admitted, Rejected, ScopeLimits, Used
from atrium.quotas.platform import ITEMS_MAX, SHARE, PlatformLimit
from atrium.quotas.service import QuotaService
from atrium.storage import keys, platform_keys
from atrium.storage.table import PhysicalTable, PlatformTable

from tests.builders.memory_table import MemoryPlatform, MemoryTable
from tests.builders.quota_items import run_id
from tests.builders.runtimes import TurnedClock
from tests.builders.wires import intercepted, lose_replies


class Platform:
    """A platform of one or more containers, each with a separate cache of full items."""

    def __init__(self, maximum: int) -> None:
        self.table, self.clock, self.maximum = MemoryPlatform(), TurnedClock(), maximum
        self.where: dict[int, int] = {}

    def limit(self) -> PlatformLimit:
        return PlatformLimit(self.table, self.maximum, self.clock)

    def ask(self, number: int, limit: PlatformLimit | None = None) -> int | Rejected:
        answer = (limit or self.limit()).admit(run_id(number))
        if isinstance(answer, int):
            self.where[number] = answer
        return answer

    def slots(self) -> list[dict[str, int]]:
        items = self.table.memory.items
        return [items.get(platform_keys.platform_concurrency(item), {}).get("slots", {}) for item in range(ITEMS_MAX)]

    def running(self) -> int:
        return sum(map(len, self.slots()))

    def fill(self, first: int = 0) -> int:
        """Admit turns until one is rejected. Return the number of admitted turns."""
        for number in range(first, 5_000):
            if isinstance(self.ask(number), Rejected):
                return number - first
        raise AssertionError("never full")


@pytest.mark.parametrize("maximum", [1, 2, 11, 12, 13, 23, 24, 25, 100, 500, 1_199, 1_200, 5_000, 30_001])
def test_shares_sum_exactly_to_the_limit(maximum: int) -> None:
    limit = Platform(maximum).limit()
    shares = [limit.share(item) for item in range(limit.items)]
    assert sum(shares) == maximum
    assert max(shares) - min(shares) <= 1
    assert min(shares) >= min(SHARE, maximum)
    assert len(shares) <= ITEMS_MAX


@pytest.mark.parametrize("maximum", [1, 5, 12, 30, 100, 157])
def test_admits_exactly_up_to_the_limit(maximum: int) -> None:
    platform = Platform(maximum)
    assert platform.fill() == platform.running() == maximum
    limit = platform.limit()
    assert [len(slots) for slots in platform.slots()[: limit.items]] == [limit.share(n) for n in range(limit.items)]


def test_a_home_item_with_free_slots_costs_one_write() -> None:
    platform = Platform(100)
    platform.ask(1)
    platform.table.memory.calls.clear()
    others = [number for number in range(2, 40) if len({platform.ask(number), platform.where[1]}) == 1]
    assert others
    platform.table.memory.calls.clear()
    platform.limit().release(run_id(others[0]), platform.where[1])
    assert platform.ask(others[0]) == platform.where[1]
    assert platform.table.memory.calls == ["write", "write"]


def test_a_full_platform_is_reported_and_cached_for_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1_000.0
    monkeypatch.setattr("atrium.quotas.platform.time.monotonic", lambda: now)
    platform = Platform(2)
    platform.fill()
    limit = platform.limit()
    rejected = platform.ask(90, limit)
    assert isinstance(rejected, Rejected)
    assert (rejected.limit, rejected.scope, rejected.used, rejected.max) == ("platform_concurrency", "platform", 2, 2)
    assert (rejected.retry_after_seconds, rejected.resets_at) == (1, limit.clock().timestamp() + 1)
    platform.limit().release(run_id(0), platform.where[0])
    calls = len(platform.table.memory.calls)
    now += 0.9
    assert isinstance(platform.ask(90, limit), Rejected)
    assert limit.rejection() is not None
    assert len(platform.table.memory.calls) == calls
    now += 0.2
    assert platform.ask(90, limit) == 0


def test_a_lost_race_for_the_last_slot_is_not_remembered_as_a_full_platform() -> None:
    platform, empty = Platform(24), Platform(24)
    platform.fill()
    other_home = next(number for number in range(100, 200) if empty.ask(number) == 1)
    free = next(number for number, item in platform.where.items() if item == 0)
    platform.limit().release(run_id(free), 0)
    limit = platform.limit()

    def overtake(name: str, send: Callable[[], Any]) -> Any:
        found = send()
        if name == "batch_get":
            platform.table.memory.intercept = None
            assert platform.ask(200) == 0
        return found

    platform.table.memory.intercept = overtake
    assert isinstance(platform.ask(other_home, limit), Rejected)
    assert limit.rejection() is None
    platform.limit().release(run_id(200), 0)
    assert platform.ask(other_home, limit) == 0


def test_a_dry_run_takes_no_slot() -> None:
    platform = Platform(3)
    assert platform.limit().check() is None
    assert not platform.table.memory.items
    platform.fill()
    rejected = platform.limit().check()
    assert rejected is not None
    assert (rejected.used, platform.running()) == (3, 3)
    platform.clock.advance(62)
    assert platform.limit().check() is None


@pytest.mark.parametrize("maximum", [1, 12, 30, 500])
def test_expired_slots_are_reused(maximum: int) -> None:
    platform = Platform(maximum)
    assert platform.fill() == maximum
    platform.clock.advance(61)
    assert isinstance(platform.ask(9_000), Rejected), "a lease is over after its last second"
    platform.clock.advance(1)
    assert platform.fill(2_000) == maximum


def test_a_renewed_lease_stays_valid() -> None:
    platform = Platform(2)
    platform.fill()
    platform.clock.advance(40)
    assert platform.limit().renew(run_id(0), platform.where[0])
    platform.clock.advance(40)
    assert platform.ask(8) == 0
    assert isinstance(platform.ask(9), Rejected)
    assert platform.limit().renew(run_id(0), platform.where[0])
    assert not platform.limit().renew(run_id(1), platform.where[1])


def test_an_expired_slot_that_is_renewed_before_the_write_is_not_dropped() -> None:
    platform = Platform(1)
    platform.ask(0)
    platform.clock.advance(62)
    writes = 0

    def renew(name: str, send: Callable[[], Any]) -> Any:
        nonlocal writes
        writes += name == "write"
        if writes == 2:
            platform.table.memory.intercept = None
            assert platform.limit().renew(run_id(0), 0)
        return send()

    platform.table.memory.intercept = renew
    assert isinstance(platform.ask(1), Rejected)
    assert list(platform.slots()[0]) == [run_id(0)[4:30]]


def test_a_release_is_idempotent() -> None:
    platform = Platform(30)
    platform.fill()
    for _ in range(2):
        platform.limit().release(run_id(3), platform.where[3])
    platform.limit().release(run_id(999), 0)
    platform.limit().release(run_id(999), 77)
    assert platform.running() == 29


def test_an_admission_may_be_repeated() -> None:
    platform = Platform(12)
    assert platform.ask(1) == platform.ask(1) == 0
    platform.fill(2)
    assert platform.ask(1) == 0, "also where the item is full by now"
    assert platform.running() == 12


@pytest.mark.parametrize(("before", "after"), [(100, 24), (24, 100), (1_000, 100)])
def test_the_number_of_items_may_change(before: int, after: int) -> None:
    platform = Platform(before)
    platform.fill()
    platform.maximum = after
    if after > before:
        platform.fill(2_000)
    limit = platform.limit()
    for number, item in platform.where.items():
        assert limit.renew(run_id(number), item)
        limit.release(run_id(number), item)
    assert platform.running() == 0
    assert platform.fill(3_000) == after


def test_recovers_from_many_expired_slots_after_lowering_the_limit() -> None:
    """An expression has at most 4 kB, so one write removes only some of many expired slots."""
    platform = Platform(30_000)
    item = platform_keys.platform_concurrency(0)
    now = int(platform.clock().timestamp())
    platform.table.memory.items[item] = {"slots": {f"{number:026d}": now - 1 for number in range(300)}, "v": 1}
    platform.maximum = SHARE
    answers = [platform.ask(1_000 + number) for number in range(12)]
    assert answers[-1] == 0
    assert [isinstance(answer, Rejected) for answer in answers[:2]] == [True, True]
    platform.maximum = 30_000
    platform.table.memory.items[item] = {"slots": {f"{number:026d}": now - 1 for number in range(300)}, "v": 1}
    assert all(isinstance(platform.ask(number), int) for number in range(300))


def test_tries_another_item_if_one_is_contended() -> None:
    platform = Platform(24)
    platform.fill()
    platform.limit().release(run_id(5), platform.where[5])
    assert platform.ask(100) == platform.where[5]


def test_is_exact_on_moto_with_lost_replies(physical_table: PhysicalTable) -> None:
    limit = PlatformLimit(PlatformTable(physical_table), 3, TurnedClock())
    with intercepted(physical_table.client, lose_replies):
        answers = [limit.admit(run_id(number)) for number in range(4)]
        assert [isinstance(answer, int) for answer in answers] == [True, True, True, False]
        assert limit.check() is not None
        assert limit.renew(run_id(0), 0)
        limit.release(run_id(0), 0)
    assert limit.check() is None


# --- with the quota service

SCOPES = (ScopeLimits("tenant", {"concurrent_turns": 9}),)


def test_a_turn_rejected_by_the_platform_is_not_charged() -> None:
    platform, table = Platform(1), MemoryTable()
    limit = platform.limit()
    service = QuotaService(table, platform.clock, limit, pause=lambda _: None)
    first = service.admit(AdmissionRequest(run_id(1), 5, 5), SCOPES)
    assert isinstance(first, Admitted)
    assert first.reservation.platform_item == 0
    rejected = service.admit(AdmissionRequest(run_id(2), 5, 5), SCOPES)
    assert isinstance(rejected, Rejected)
    assert rejected.limit == "platform_concurrency"
    item = table.items[keys.admission("")]
    assert (item["rn"], item["tm202611"], len(item["slots"])) == (1, 5, 1)
    calls = len(table.calls)
    assert service.dry_run(AdmissionRequest(run_id(3), 5, 5), SCOPES, service.read(SCOPES)) == limit.rejection()
    assert table.calls[calls:] == ["batch_get"]
    assert service.renew_lease(first.reservation)
    assert service.settle(first.reservation, Used(1, 1))
    assert platform.running() == 0


def test_a_lost_platform_slot_stops_the_worker() -> None:
    platform = Platform(1)
    service = QuotaService(MemoryTable(), platform.clock, platform.limit(), pause=lambda _: None)
    first = service.admit(AdmissionRequest(run_id(1), 5, 5), SCOPES)
    assert isinstance(first, Admitted)
    platform.clock.advance(62)
    assert platform.ask(50) == 0
    assert not service.renew_lease(first.reservation)


def test_undoes_the_admission_if_the_platform_item_fails() -> None:
    platform, table = Platform(1), MemoryTable()

    def gone(_name: str, _send: Callable[[], Any]) -> Any:
        raise Unavailable(internal="gone")

    platform.table.memory.intercept = gone
    with pytest.raises(Unavailable):
        QuotaService(table, platform.clock, platform.limit()).admit(AdmissionRequest(run_id(1), 5, 5), SCOPES)
    item = table.items[keys.admission("")]
    assert (item["slots"], item["rn"], item["tm202611"]) == ({}, 0, 0)


@pytest.mark.parametrize("maximum", [1, 30])
def test_a_platform_slot_whose_reply_was_lost_is_released(maximum: int) -> None:
    platform, table = Platform(maximum), MemoryTable()

    def lose(name: str, send: Callable[[], Any]) -> Any:
        send()
        if platform.running():
            platform.table.memory.intercept = None
            raise Unavailable(internal=f"no reply to {name}")
        return send()

    platform.table.memory.intercept = lose
    service = QuotaService(table, platform.clock, platform.limit())
    with pytest.raises(Unavailable):
        service.admit(AdmissionRequest(run_id(1), 5, 5), SCOPES)
    assert (platform.running(), table.items[keys.admission("")]["slots"]) == (0, {})
