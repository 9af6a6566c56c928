"""Runs the application: in the foreground for the command, in a thread for tests."""

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import uvicorn

from infra.local.model_server.journal import Journal
from infra.local.model_server.records import Record, Stats
from infra.local.model_server.server import Application

HOST = "127.0.0.1"


class Host(uvicorn.Server):
    """Uvicorn, made quiet, that tells when it is ready and drops what is in flight when it stops."""

    def __init__(self, application: Application, on_ready: Callable[[], None]) -> None:
        super().__init__(
            uvicorn.Config(
                application,
                loop="asyncio",
                http="h11",
                ws="none",
                lifespan="off",
                log_config=None,
                log_level="critical",
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=2,
            )
        )
        self._application = application
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then say so."""
        await super().startup(sockets)
        self._on_ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop at once."""
        self._application.drop_all()
        await asyncio.sleep(0)
        await super().shutdown(sockets)


@dataclass(frozen=True)
class ModelServer:
    """A running server, seen from the test that started it."""

    url: str
    _journal: Journal

    def requests(self, after: int = 0) -> list[Record]:
        """The model requests with a number above `after`, oldest first."""
        return self._journal.requests(after)

    def stats(self) -> Stats:
        """Concurrency and totals since the last reset."""
        return self._journal.stats()

    def reset(self) -> None:
        """Forget requests, attempts and totals."""
        self._journal.reset()

    def wait_until_idle(self, timeout_seconds: float = 5) -> None:
        """Return when no request is in flight; raise `TimeoutError` if that does not come."""
        deadline = time.monotonic() + timeout_seconds
        while self._journal.stats().concurrent:
            if time.monotonic() > deadline:
                raise TimeoutError(f"requests are still in flight after {timeout_seconds} s")
            time.sleep(0.005)


def bind(port: int) -> socket.socket:
    """A listening socket on 127.0.0.1; port 0 is any free one. Raises OSError when the port is taken."""
    # the protocol is named because asyncio turns Nagle off only then; with it on, each answer takes 40 ms more
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
        listener.listen(1024)
    except OSError:
        listener.close()
        raise
    return listener


def url_of(listener: socket.socket) -> str:
    """The address to give to clients."""
    return f"http://{HOST}:{listener.getsockname()[1]}"


@contextmanager
def running(port: int = 0, *, hang_seconds: float = 120) -> Iterator[ModelServer]:
    """Run a server in a thread for as long as the block lasts; nothing is left of it afterwards."""
    journal = Journal()
    ready = threading.Event()
    host = Host(Application(journal, hang_seconds=hang_seconds), ready.set)
    listener = bind(port)
    thread = threading.Thread(target=host.run, args=([listener],), name="model-server")
    server = ModelServer(url_of(listener), journal)
    thread.start()
    try:
        if not ready.wait(10):
            raise TimeoutError("the model server did not start within 10 s")
        yield server
    finally:
        host.should_exit = True
        thread.join()
