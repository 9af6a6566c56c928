"""Runs a Python handler with AWS's runtime client (awslambdaric) from the source tree.

The client polls a Runtime API for events. Its first poll shows that the handler has been imported.
"""

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from pathlib import Path

from infra.local.lambdas.pool import InitFailed
from infra.local.lambdas.variables import process_environment
from infra.local.paths import PYTHON
from infra.local.ports import HOST
from infra.local.processes import Child, Children
from infra.local.stack.functions import StackFunction
from infra.runtime.exchange import Exchange, Pending
from infra.runtime.results import FunctionError, Invocation
from infra.runtime.routes import Identity, routes_for
from infra.runtime.server import LoopbackServer

INIT_SECONDS_MAX = 30.0


class _WatchedExchange(Exchange):
    """An exchange that calls `notify` for each poll of the runtime (with None) and for each failure."""

    def __init__(self, notify: Callable[[FunctionError | None], None]) -> None:
        super().__init__()
        self._notify = notify

    def take(self) -> Pending | None:
        self._notify(None)
        return super().take()

    def fail(self, error: FunctionError) -> None:
        self._notify(error)
        super().fail(error)


class HandlerEnvironment:
    """A process that runs one handler. As in Lambda, an exception does not end the process, but a timeout does."""

    def __init__(self, item: StackFunction, root: Path, executor: Executor) -> None:
        self._loop = asyncio.get_running_loop()
        self._began: asyncio.Future[FunctionError | None] = self._loop.create_future()
        self._exchange = _WatchedExchange(self._notify)
        self._server = LoopbackServer(routes_for(self._exchange, Identity(item.function.name, item.function.handler)))
        self._item = item
        self._root = root
        self._executor = executor
        self._child: Child | None = None
        self._closing: asyncio.Future[None] | None = None

    @property
    def usable(self) -> bool:
        """Return whether the process is running and can receive an event."""
        return self._child is not None and self._child.alive and not self._child.stopping

    async def start(self, children: Children, addresses: Mapping[str, str]) -> None:
        """Start the process and wait until the handler is imported. Raises InitFailed if the import fails."""
        self._server.start()
        command = [str(PYTHON), "-m", "awslambdaric", self._item.function.handler]
        self._child = await children.start(
            self._item.component,
            command,
            folder=self._root,
            environment=process_environment(self._item, self._root, f"{HOST}:{self._server.port}", addresses),
        )
        self._child.ended.add_done_callback(self._note_end)
        try:
            error = await asyncio.wait_for(asyncio.shield(self._began), INIT_SECONDS_MAX)
        except TimeoutError:
            error = FunctionError("Sandbox.Timedout", f"not imported within {INIT_SECONDS_MAX:.0f} s")
        if error is not None:
            await self.stop()
            raise InitFailed(error.type, error.message)

    async def invoke(self, event: bytes) -> Invocation:
        """Run the handler with an event (JSON) and return the result. A timeout ends the process."""
        pending = Pending(event, self._item.function.timeout_seconds)
        invocation = await self._loop.run_in_executor(self._executor, self._exchange.offer, pending)
        if invocation.status == "timed_out" and self._child is not None:
            self._child.kill()
        return invocation

    async def stop(self) -> None:
        """End the process and wait until the server of its Runtime API has stopped."""
        if self._child is not None:
            await self._child.stop()
        if self._closing is not None:
            await self._closing

    def _note_end(self, ended: asyncio.Future[int]) -> None:
        """Fail the current invocation, because the process has ended."""
        self._exchange.fail(FunctionError("Runtime.ExitError", f"the process ended with status {ended.result()}"))
        self._exchange.close()
        self._closing = self._loop.run_in_executor(None, self._server.stop)

    def _notify(self, error: FunctionError | None) -> None:
        """Report a poll or an error to the event loop. Called in a thread of the Runtime API's server."""
        self._loop.call_soon_threadsafe(self._note, error)

    def _note(self, error: FunctionError | None) -> None:
        if not self._began.done():
            self._began.set_result(error)
