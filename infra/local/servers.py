"""Runs HTTP servers in the stack's process: uvicorn on a bound socket, without signal handlers."""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Iterator

import uvicorn
from starlette.types import ASGIApp

_GRACE_SECONDS = 1


class _Server(uvicorn.Server):
    """Uvicorn without signal handlers, because the stack handles signals and stops its servers in order."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class LocalServer:
    """Serves one application on one socket."""

    def __init__(self, application: ASGIApp, claimed: socket.socket) -> None:
        # Uvicorn's errors are not logged, because the application logs interrupted streams.
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
        configuration = uvicorn.Config(
            application,
            lifespan="off",
            log_config=None,
            access_log=False,
            http="h11",
            ws="none",
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=_GRACE_SECONDS,
        )
        self._server = _Server(configuration)
        self._socket = claimed
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start the server and wait until it accepts requests."""
        self._task = asyncio.create_task(self._server.serve(sockets=[self._socket]))
        while not self._server.started:
            if self._task.done():
                self._task.result()
            await asyncio.sleep(0.01)

    async def stop(self) -> None:
        """Stop listening, wait briefly for open requests, then close their connections."""
        self._server.should_exit = True
        if self._task is not None:
            await self._task
        self._socket.close()
