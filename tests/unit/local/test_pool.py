"""The pool of a function's environments: how environments are started, leased, replaced and stopped."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pytest

from infra.local.lambdas.pool import STARTS_MAX, InitFailed, Pool, Throttled


@dataclass(eq=False)
class FakeEnvironment:
    """An environment without a process."""

    number: int
    usable: bool = True
    stopped: bool = False

    async def stop(self) -> None:
        self.usable, self.stopped = False, True


@dataclass
class Factory:
    """A factory of environments. `building_most` is the maximum number of concurrent starts."""

    seconds: float = 0.0
    failures: list[InitFailed] = field(default_factory=list)
    environments: list[FakeEnvironment] = field(default_factory=list)
    building: int = 0
    building_most: int = 0

    async def build(self) -> FakeEnvironment:
        self.building += 1
        self.building_most = max(self.building_most, self.building)
        try:
            await asyncio.sleep(self.seconds)
        finally:
            self.building -= 1
        if self.failures:
            raise self.failures.pop(0)
        self.environments.append(FakeEnvironment(len(self.environments)))
        return self.environments[-1]


def run(work: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(5):
            await work()

    asyncio.run(bounded())


async def use(pool: Pool[FakeEnvironment], seconds: float = 0.0) -> int:
    async with pool.lease() as environment:
        await asyncio.sleep(seconds)
        return environment.number


def test_one_environment_serves_requests_in_sequence() -> None:
    async def work() -> None:
        factory = Factory()
        pool = Pool(factory.build, size_max=4)
        assert [await use(pool) for _ in range(3)] == [0, 0, 0]
        await pool.close()
        assert [environment.stopped for environment in factory.environments] == [True]

    run(work)


def test_concurrent_requests_get_own_environments() -> None:
    async def work() -> None:
        factory = Factory(seconds=0.02)
        pool = Pool(factory.build, size_max=4)
        numbers = await asyncio.gather(*(use(pool, 0.2) for _ in range(4)))
        assert sorted(numbers) == [0, 1, 2, 3]
        assert factory.building_most == STARTS_MAX
        await pool.close()

    run(work)


def test_short_requests_share_environments() -> None:
    async def work() -> None:
        factory = Factory()
        pool = Pool(factory.build, size_max=16, grow_seconds=4)
        await use(pool)
        await asyncio.gather(*(use(pool, 0.001) for _ in range(20)))
        assert len(factory.environments) == 1
        await pool.close()

    run(work)


def test_throttles_a_request_that_waits_too_long() -> None:
    async def work() -> None:
        factory = Factory()
        pool = Pool(factory.build, size_max=1, wait_seconds=0.1)
        async with pool.lease():
            with pytest.raises(Throttled):
                await use(pool)
        assert await use(pool) == 0
        await pool.close()

    run(work)


def test_reserved_concurrency_throttles_at_once() -> None:
    async def work() -> None:
        pool = Pool(Factory().build, size_max=4, reserved=1)
        async with pool.lease():
            with pytest.raises(Throttled):
                await use(pool)
        await pool.close()

    run(work)


def test_failed_start_fails_all_waiting_requests() -> None:
    async def work() -> None:
        factory = Factory(seconds=0.1, failures=[InitFailed("Runtime.ImportModuleError", "no")])
        pool = Pool(factory.build, size_max=1)
        results = await asyncio.gather(use(pool), use(pool), return_exceptions=True)
        assert [type(result) for result in results] == [InitFailed, InitFailed]
        assert await use(pool) == 0
        await pool.close()

    run(work)


def test_retired_environments_end_when_free() -> None:
    async def work() -> None:
        factory = Factory()
        pool = Pool(factory.build, size_max=4)
        async with pool.lease() as old:
            pool.retire()
            assert not old.stopped
            assert await use(pool) == 1
        await asyncio.sleep(0)
        assert factory.environments[0].stopped
        assert not factory.environments[1].stopped
        await pool.close()

    run(work)


def test_environment_started_with_old_code_is_not_used() -> None:
    async def work() -> None:
        factory = Factory(seconds=0.1)
        pool = Pool(factory.build, size_max=1)
        waiting = asyncio.create_task(use(pool))
        await asyncio.sleep(0.05)
        pool.retire()
        assert await waiting == 1
        assert factory.environments[0].stopped
        await pool.close()

    run(work)


def test_broken_environment_is_replaced() -> None:
    async def work() -> None:
        factory = Factory()
        pool = Pool(factory.build, size_max=1)
        async with pool.lease() as environment:
            environment.usable = False
        assert await use(pool) == 1
        factory.environments[1].usable = False
        assert await use(pool) == 2
        await pool.close()

    run(work)


def test_cancelled_wait_does_not_leak_an_environment() -> None:
    async def work() -> None:
        factory = Factory()
        pool = Pool(factory.build, size_max=1)
        async with pool.lease():
            waiting = asyncio.create_task(use(pool))
            await asyncio.sleep(0.01)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        assert await use(pool) == 0
        await pool.close()

    run(work)


def test_idle_environments_end_except_one() -> None:
    async def work() -> None:
        factory = Factory()
        pool = Pool(factory.build, size_max=4)
        await asyncio.gather(*(use(pool, 0.2) for _ in range(3)))
        pool.reap(60)
        assert pool.size == 3
        pool.reap(-1)
        await asyncio.sleep(0)
        assert pool.size == 1
        assert sum(environment.stopped for environment in factory.environments) == 2
        await pool.close()

    run(work)


def test_warming_starts_one() -> None:
    async def work() -> None:
        factory = Factory()
        pool = Pool(factory.build, size_max=4)
        await asyncio.gather(pool.warm(), pool.warm())
        assert len(factory.environments) == 1
        factory.environments[0].usable = False
        factory.failures.append(InitFailed("Runtime.ExitError", "no"))
        pool.retire()
        await pool.warm()
        assert pool.size == 0
        await pool.close()

    run(work)
