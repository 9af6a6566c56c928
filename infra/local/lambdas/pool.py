"""A pool of the execution environments of one function. An environment serves one request at a time.

More environments are started on demand. Unlike in Lambda, a burst does not start one environment per request, because
on a machine with two cores the starts would slow each other down. A request waits for the first free environment, and
at most STARTS_MAX environments are started at the same time.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Protocol

STARTS_MAX = 2
GROW_SECONDS = 0.05
WAIT_SECONDS_MAX = 15.0


class Environment(Protocol):
    """An execution environment. It is not `usable` after its process has ended or a request was aborted."""

    @property
    def usable(self) -> bool: ...

    async def stop(self) -> None:
        """End the environment's process."""


class Throttled(Exception):
    """Raised if the reserved concurrency is in use or no environment became free in time.

    The error corresponds to Lambda's TooManyRequestsException.
    """


class InitFailed(Exception):
    """Raised if an environment did not start. The message is for the log; `kind` is Lambda's error type."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


@dataclass
class _Member[E: Environment]:
    environment: E
    generation: int
    idle_since: float = 0.0


class Pool[E: Environment]:
    """A pool that leases environments.

    `start` creates an environment or raises InitFailed. `reserved` is the function's reserved concurrency.
    """

    def __init__(
        self,
        start: Callable[[], Awaitable[E]],
        *,
        size_max: int,
        reserved: int | None = None,
        wait_seconds: float = WAIT_SECONDS_MAX,
        grow_seconds: float = GROW_SECONDS,
    ) -> None:
        self._start = start
        self._size_max = size_max
        self._reserved = reserved
        self._wait_seconds = wait_seconds
        self._grow_seconds = grow_seconds
        self._idle: list[_Member[E]] = []
        self._waiting: deque[asyncio.Future[_Member[E]]] = deque()
        self._starts: set[asyncio.Task[None]] = set()
        self._busy = 0
        self._generation = 0
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def size(self) -> int:
        """Return the number of environments, including those that are starting."""
        return len(self._idle) + self._busy + len(self._starts)

    @contextlib.asynccontextmanager
    async def lease(self) -> AsyncIterator[E]:
        """Yield a free environment for one request. Raises Throttled or InitFailed."""
        if self._reserved is not None and self._busy >= self._reserved:
            raise Throttled
        member = self._take_idle() or await self._wait()
        try:
            yield member.environment
        finally:
            self._give_back(member)

    async def warm(self) -> None:
        """Start an environment if the pool is empty, and wait until the environment has started.

        Cancelling the wait does not cancel the start.
        """
        if self.size == 0:
            await asyncio.shield(self._begin_start())

    def retire(self) -> None:
        """End idle environments now, and busy environments after their current request. Called after a code change."""
        self._generation += 1
        while self._idle:
            self._spawn(self._idle.pop().environment.stop())

    def reap(self, idle_seconds: float) -> None:
        """End environments that have been idle for more than `idle_seconds`. Keep one idle environment."""
        now = asyncio.get_running_loop().time()
        while len(self._idle) > 1 and now - self._idle[0].idle_since > idle_seconds:
            self._spawn(self._idle.pop(0).environment.stop())

    async def close(self) -> None:
        """Cancel waiting requests and starts, and end idle environments. The caller must end busy environments."""
        for waiter in self._waiting:
            waiter.cancel()
        self._waiting.clear()
        for start in self._starts:
            start.cancel()
        self.retire()
        while self._tasks:
            await asyncio.wait(self._tasks)

    def _take_idle(self) -> _Member[E] | None:
        """Return the idle environment that was used last, so that the others remain idle and can be ended."""
        while self._idle:
            member = self._idle.pop()
            if member.environment.usable:
                self._busy += 1
                return member
            self._spawn(member.environment.stop())
        return None

    async def _wait(self) -> _Member[E]:
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[_Member[E]] = loop.create_future()
        self._waiting.append(waiter)
        loop.call_later(self._grow_seconds if self.size else 0, self._grow_for_waiting)
        try:
            async with asyncio.timeout(self._wait_seconds):
                return await waiter
        except (TimeoutError, asyncio.CancelledError) as error:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self._give_back(waiter.result())
            if isinstance(error, TimeoutError):
                raise Throttled from None
            raise

    def _give_back(self, member: _Member[E]) -> None:
        """Return a busy environment to the pool.

        The environment is passed to the request that has waited longest, kept as idle, or ended.
        """
        self._busy -= 1
        if member.generation != self._generation or not member.environment.usable:
            self._spawn(member.environment.stop())
            self._grow_for_waiting()
            return
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                self._busy += 1
                waiter.set_result(member)
                return
        member.idle_since = asyncio.get_running_loop().time()
        self._idle.append(member)

    def _grow_for_waiting(self) -> None:
        self._grow(sum(not waiter.done() for waiter in self._waiting))

    def _grow(self, wanted: int) -> None:
        while len(self._starts) < min(wanted, STARTS_MAX) and self.size < self._size_max:
            self._begin_start()

    def _begin_start(self) -> asyncio.Task[None]:
        start = self._spawn(self._start_one(self._generation))
        self._starts.add(start)
        return start

    async def _start_one(self, generation: int) -> None:
        try:
            environment = await self._start()
        except InitFailed as error:
            if generation == self._generation:
                self._refuse_all(error)
            return
        finally:
            self._starts.difference_update({asyncio.current_task()})
            if generation != self._generation:
                self._grow_for_waiting()
        self._busy += 1
        self._give_back(_Member(environment, generation))
        self._grow_for_waiting()

    def _refuse_all(self, error: InitFailed) -> None:
        """Fail all waiting requests, because another environment would fail with the same error."""
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_exception(error)

    def _spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
