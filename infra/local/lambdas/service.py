"""Runs all functions of the stack: invokes handlers, leases web applications, and replaces processes after changes."""

import asyncio
import contextlib
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

from infra.local.lambdas.handlers import HandlerEnvironment
from infra.local.lambdas.pool import InitFailed, Pool
from infra.local.lambdas.web import WebEnvironment
from infra.local.logs.stack_log import StackLog
from infra.local.paths import ROOT
from infra.local.processes import Children
from infra.local.stack.functions import StackFunction
from infra.runtime.results import FunctionError, Invocation

ENVIRONMENTS_MAX = 16
IDLE_SECONDS_MAX = 120.0
_REAP_SECONDS = 10.0
# Keep-alive is disabled, because a request on a connection that the server is closing fails and must not be retried.
_LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=0)


class UnknownFunction(Exception):
    """Raised if the stack has no function with this name and kind."""


class LambdaService:
    """Manages the environment pools of the stack's functions. A function is identified by its physical name."""

    def __init__(
        self,
        functions: Mapping[str, StackFunction],
        children: Children,
        log: StackLog,
        *,
        addresses: Mapping[str, str],
        root: Path = ROOT,
    ) -> None:
        self.functions = functions
        self._root = root
        self._children = children
        self._log = log
        self._addresses = addresses
        # Each running invocation occupies a thread.
        self._executor = ThreadPoolExecutor(max_workers=256, thread_name_prefix="invocation")
        self._client = httpx.AsyncClient(timeout=None, trust_env=False, limits=_LIMITS)
        self._warming: asyncio.Task[None] | None = None
        self._handlers: dict[str, Pool[HandlerEnvironment]] = {}
        self._applications: dict[str, Pool[WebEnvironment]] = {}
        for name, item in functions.items():
            self._add_pool(name, item)

    async def invoke(self, name: str, event: bytes) -> Invocation:
        """Run a handler with an event. The result contains the handler's error, if there is one.

        Raises Throttled or UnknownFunction.
        """
        pool = self._handlers.get(name)
        if pool is None:
            raise UnknownFunction(name)
        try:
            async with pool.lease() as environment:
                invocation = await environment.invoke(event)
        except InitFailed as error:
            failure = FunctionError(error.kind, str(error))
            invocation = Invocation("", "failed", b"", (), None, failure, 0.0)
        if invocation.status == "timed_out" and invocation.error is not None:
            component = self.functions[name].component
            self._log.note(component, invocation.error.message, level="ERROR", request_id=invocation.request_id)
        return invocation

    def lease(self, name: str) -> contextlib.AbstractAsyncContextManager[WebEnvironment]:
        """Lease a web application for one request. Raises UnknownFunction.

        The context manager raises Throttled or InitFailed on entry.
        """
        pool = self._applications.get(name)
        if pool is None:
            raise UnknownFunction(name)
        return pool.lease()

    def warm(self, names: Iterable[str]) -> None:
        """Start one environment of each function in the background, one after another, web applications first.

        A previous call that is still in progress is cancelled.
        """
        ordered = sorted(names, key=lambda name: name not in self._applications)
        if self._warming is not None:
            self._warming.cancel()
        self._warming = asyncio.create_task(self._warm_all(ordered))

    def retire(self, names: Iterable[str]) -> list[str]:
        """End the environments of these functions, so that new requests run the current source code.

        Return the names of the functions that had environments.
        """
        pools = {name: self._pools[name] for name in names}
        running = [name for name, pool in pools.items() if pool.size]
        for pool in pools.values():
            pool.retire()
        return running

    async def reap(self) -> None:
        """End idle environments periodically. Does not return."""
        while True:
            await asyncio.sleep(_REAP_SECONDS)
            for pool in self._pools.values():
                pool.reap(IDLE_SECONDS_MAX)

    async def close(self) -> None:
        """End all idle environments. Busy environments end with the child processes."""
        if self._warming is not None:
            self._warming.cancel()
        await asyncio.gather(*(pool.close() for pool in self._pools.values()))
        await self._client.aclose()
        self._executor.shutdown(wait=False, cancel_futures=True)

    async def _warm_all(self, names: Iterable[str]) -> None:
        for name in names:
            await self._pools[name].warm()

    @property
    def applications(self) -> list[str]:
        """Return the names of the functions that stream their responses."""
        return list(self._applications)

    @property
    def _pools(self) -> Mapping[str, Pool[HandlerEnvironment] | Pool[WebEnvironment]]:
        return {**self._handlers, **self._applications}

    def _add_pool(self, name: str, item: StackFunction) -> None:
        async def start_handler() -> HandlerEnvironment:
            return await self._start_environment(item, HandlerEnvironment(item, self._root, self._executor))

        async def start_application() -> WebEnvironment:
            return await self._start_environment(item, WebEnvironment(item, self._root, self._client))

        if item.function.streams:
            self._applications[name] = Pool(start_application, size_max=ENVIRONMENTS_MAX, reserved=item.reserved)
        else:
            self._handlers[name] = Pool(start_handler, size_max=ENVIRONMENTS_MAX, reserved=item.reserved)

    async def _start_environment[E: (HandlerEnvironment, WebEnvironment)](
        self, item: StackFunction, environment: E
    ) -> E:
        try:
            await environment.start(self._children, self._addresses)
        except InitFailed as error:
            self._log.note(item.component, f"failed to start: {error.kind}: {error}", level="ERROR")
            raise
        return environment
