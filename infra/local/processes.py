"""Child processes: each in a group of its own, its output in the log, known to the watchdog while it lives."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from infra.local import watchdog
from infra.local.lines import LineSplitter
from infra.local.logs.entries import Entry
from infra.local.logs.stack_log import StackLog

STOP_SECONDS = 3.0


class Child(asyncio.SubprocessProtocol):
    """A process and what it starts. `ended` resolves to its exit status, when all that it wrote has been read."""

    def __init__(self, name: str, take_line: Callable[[str], None], on_end: Callable[["Child"], None]) -> None:
        self.name = name
        self.pid = 0
        self.status: int | None = None
        self.stopping = False
        self.ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._output = LineSplitter(take_line)
        self._on_end = on_end
        self._transport: asyncio.SubprocessTransport | None = None

    @property
    def alive(self) -> bool:
        """Whether the process has not been seen to end."""
        return self.status is None

    async def stop(self, grace_seconds: float = STOP_SECONDS) -> None:
        """End the whole group: SIGTERM, then SIGKILL for what is left of it. Idempotent."""
        self.stopping = True
        self._signal(signal.SIGTERM)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(self.ended), grace_seconds)
        self._signal(signal.SIGKILL)
        await self.ended

    def kill(self) -> None:
        """End the whole group at once, as Lambda does with what runs over its time."""
        self.stopping = True
        self._signal(signal.SIGKILL)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the loop when the process has started."""
        assert isinstance(transport, asyncio.SubprocessTransport)
        self._transport = transport
        self.pid = transport.get_pid()

    def pipe_data_received(self, fd: int, data: bytes) -> None:  # noqa: ARG002 -- the loop names it
        """Called by the loop with what the process wrote."""
        self._output.feed(data)

    def process_exited(self) -> None:
        """Called by the loop when the process has ended; what it started goes with it, or its pipe would stay open."""
        if self._transport is not None:
            self.status = self._transport.get_returncode()
        self._signal(signal.SIGKILL)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 -- the loop names it
        """Called by the loop when the process has ended and its output is at its end."""
        self._output.close()
        if self._transport is not None:
            self._transport.close()
        self._on_end(self)
        if not self.ended.done():
            self.ended.set_result(self.status if self.status is not None else -1)

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)


class Children:
    """Starts children and stops them all. A watchdog process ends them should this one die without doing so."""

    def __init__(self, log: StackLog) -> None:
        self._log = log
        self._running: set[Child] = set()
        self._watchdog = subprocess.Popen(
            [sys.executable, "-I", "-S", watchdog.__file__], stdin=subprocess.PIPE, start_new_session=True
        )

    async def start(
        self,
        name: str,
        command: Sequence[str],
        *,
        folder: Path,
        environment: Mapping[str, str],
        on_end: Callable[[Child], None] | None = None,
        tone: Callable[[Entry], Entry] | None = None,
    ) -> Child:
        """Run a command; `name` stands before its lines. `on_end` is called when it ends without being stopped."""

        def note_end(child: Child) -> None:
            self._running.discard(child)
            self._notify_watchdog("-", child)
            if not child.stopping:
                self._log.note(name, f"ended by itself with status {child.status}", level="ERROR")
                if on_end is not None:
                    on_end(child)

        _, child = await asyncio.get_running_loop().subprocess_exec(
            lambda: Child(name, lambda line: self._log.line(name, line, tone=tone), note_end),
            *command,
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._running.add(child)
        self._notify_watchdog("+", child)
        if not child.alive:
            self._running.discard(child)
        return child

    async def stop_all(self) -> None:
        """Stop every child, all at the same time, and the watchdog."""
        await asyncio.gather(*(child.stop() for child in list(self._running)))
        if self._watchdog.stdin is not None:
            self._watchdog.stdin.close()
        await asyncio.to_thread(self._watchdog.wait)

    def _notify_watchdog(self, sign: str, child: Child) -> None:
        stdin = self._watchdog.stdin
        if stdin is not None and not stdin.closed:
            stdin.write(f"{sign}{child.pid}\n".encode())
            stdin.flush()
