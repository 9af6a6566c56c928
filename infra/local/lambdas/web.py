"""Runs the web application of a streaming function as the Lambda Web Adapter does.

The module starts the function's run.sh, sets the port, and polls the readiness path.
"""

import asyncio
import contextlib
from collections.abc import Mapping
from pathlib import Path

import httpx

from infra.local.lambdas.pool import InitFailed
from infra.local.lambdas.variables import process_environment
from infra.local.ports import HOST, free_port
from infra.local.processes import Child, Children
from infra.local.stack.functions import StackFunction

INIT_SECONDS_MAX = 30.0
_POLL_SECONDS = 0.02
_DYING_SECONDS = 0.5


class WebEnvironment:
    """A process that serves HTTP on a separate port."""

    def __init__(self, item: StackFunction, root: Path, client: httpx.AsyncClient) -> None:
        self.item = item
        self._root = root
        self.client = client
        self._port = free_port()
        self._child: Child | None = None

    @property
    def url(self) -> str:
        """Return the URL of the application, without a trailing slash."""
        return f"http://{HOST}:{self._port}"

    @property
    def usable(self) -> bool:
        """Return whether the process is running and is not being stopped."""
        return self._child is not None and self._child.alive and not self._child.stopping

    async def start(self, children: Children, addresses: Mapping[str, str]) -> None:
        """Start the process and wait until its readiness path returns a status below 500.

        Raises InitFailed if the process ends or is not ready in time.
        """
        function = self.item.function
        environment = process_environment(self.item, self._root, "", addresses)
        environment |= {"PORT": str(self._port), "AWS_LWA_PORT": str(self._port)}
        path = function.environment.get("AWS_LWA_READINESS_CHECK_PATH", "/")
        try:
            self._child = await children.start(
                self.item.component, [str(self._root / function.handler)], folder=self._root, environment=environment
            )
        except OSError as error:
            raise InitFailed("Runtime.InvalidEntrypoint", f"{function.handler}: {error.strerror}") from error
        deadline = asyncio.get_running_loop().time() + INIT_SECONDS_MAX
        while not await self._is_ready(path):
            if not self.usable:
                raise InitFailed("Runtime.ExitError", f"{function.handler} ended with status {self._child.status}")
            if asyncio.get_running_loop().time() > deadline:
                await self.stop()
                raise InitFailed("Sandbox.Timedout", f"{path} was not ready within {INIT_SECONDS_MAX:.0f} s")
            await asyncio.sleep(_POLL_SECONDS)

    async def stop(self) -> None:
        """End the process."""
        if self._child is not None:
            await self._child.stop()

    def kill(self) -> None:
        """Kill the process immediately."""
        if self._child is not None:
            self._child.kill()

    async def end_after_failure(self) -> None:
        """End the process after its response has been interrupted.

        Wait briefly before that, so that the exit status is logged if the process ends by itself.
        """
        if self._child is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(self._child.ended), _DYING_SECONDS)
            self._child.kill()

    async def _is_ready(self, path: str) -> bool:
        try:
            answer = await self.client.get(self.url + path, timeout=5)
        except httpx.TransportError:
            return False
        return answer.status_code < 500
