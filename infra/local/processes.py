"""Runs child processes in separate process groups, logs their output and registers them with the watchdog."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from infra.local import watchdog
from infra.local.logs.entries import Entry
from infra.local.logs.stack_log import StackLog

STOP_SECONDS = 3.0
LINE_BYTES_MAX = 256 * 1024


class LineSplitter:
    """Splits output into lines. A line that is longer than LINE_BYTES_MAX is split, to limit memory usage."""

    def __init__(self, take: Callable[[str], None]) -> None:
        self._take = take
        self._rest = b""

    def feed(self, data: bytes) -> None:
        """Add output, and emit the lines that are complete."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._take(line.decode("utf-8", "replace").rstrip("\r"))
        if len(self._rest) > LINE_BYTES_MAX:
            self.close()

    def close(self) -> None:
        """Emit the remaining output, which has no line break, as a line."""
        rest, self._rest = self._rest, b""
        if rest:
            self._take(rest.decode("utf-8", "replace"))


class Child(asyncio.SubprocessProtocol):
    """A child process and its own children. `ended` resolves to the exit status after all output has been read."""

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
        """Return whether the process is still running."""
        return self.status is None

    async def stop(self, grace_seconds: float = STOP_SECONDS) -> None:
        """End the whole process group with SIGTERM, then SIGKILL. Idempotent."""
        self.stopping = True
        self._signal(signal.SIGTERM)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(self.ended), grace_seconds)
        self._signal(signal.SIGKILL)
        await self.ended

    def kill(self) -> None:
        """Kill the whole process group immediately, as Lambda does after a timeout."""
        self.stopping = True
        self._signal(signal.SIGKILL)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Save the process id. The event loop calls this method when the process has started."""
        assert isinstance(transport, asyncio.SubprocessTransport)
        self._transport = transport
        self.pid = transport.get_pid()

    def pipe_data_received(self, fd: int, data: bytes) -> None:  # noqa: ARG002 -- asyncio's signature
        """Handle output. The event loop calls this method with the bytes that the process has written."""
        self._output.feed(data)

    def process_exited(self) -> None:
        """Kill the remaining children of the process, because they would keep the output pipe open.

        The event loop calls this method when the process has ended.
        """
        if self._transport is not None:
            self.status = self._transport.get_returncode()
        self._signal(signal.SIGKILL)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 -- asyncio's signature
        """Call `on_end` and set `ended`. The event loop calls this method after all output has been read."""
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
    """Starts and stops child processes.

    If this process ends without stopping its children, a watchdog process ends them.
    """

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
        """Run a command as a child process. `name` precedes the command's log lines.

        `on_end` is called if the command ends without being stopped. `tone` may change the level of a log entry.
        """

        def note_end(child: Child) -> None:
            self._running.discard(child)
            self._notify_watchdog("-", child)
            if not child.stopping:
                self._log.note(name, f"exited unexpectedly with status {child.status}", level="ERROR")
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
        """Stop all children in parallel, and then stop the watchdog."""
        await asyncio.gather(*(child.stop() for child in list(self._running)))
        if self._watchdog.stdin is not None:
            self._watchdog.stdin.close()
        await asyncio.to_thread(self._watchdog.wait)

    def _notify_watchdog(self, sign: str, child: Child) -> None:
        stdin = self._watchdog.stdin
        if stdin is not None and not stdin.closed:
            stdin.write(f"{sign}{child.pid}\n".encode())
            stdin.flush()
