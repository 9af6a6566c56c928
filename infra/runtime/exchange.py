"""Passes invocations to a runtime and returns its responses. A lock protects all state.

Like a Lambda execution environment, an exchange supports one runtime and one invocation at a time.
"""

import threading
import time
import uuid
from dataclasses import dataclass, field

from infra.runtime.results import Chunk, FunctionError, Invocation, Prelude, Status, split_prelude


@dataclass
class Pending:
    """An invocation in progress. Times are readings of the monotonic clock."""

    event: bytes
    timeout_seconds: float
    client_context: str | None = None
    request_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    created_at: float = field(default_factory=time.monotonic)
    handed_at: float | None = None
    chunks: list[Chunk] = field(default_factory=list)
    prelude: Prelude | None = None
    error: FunctionError | None = None
    status: Status | None = None

    @property
    def began_at(self) -> float:
        """Return the time at which the runtime received the event.

        Before that, return the time at which the invocation was created.
        """
        return self.created_at if self.handed_at is None else self.handed_at

    def add(self, data: bytes) -> None:
        """Add a chunk of the response with its arrival time."""
        self.chunks.append(Chunk(time.monotonic() - self.began_at, data))

    def result(self) -> Invocation:
        """Return the result. An invocation that has not ended is reported as timed out."""
        error, status = self.error, self.status
        if status is None:
            message = f"{self.request_id} Task timed out after {self.timeout_seconds:.2f} seconds"
            error, status = FunctionError("Sandbox.Timedout", message), "timed_out"
        payload = b"".join(chunk.data for chunk in self.chunks)
        seconds = time.monotonic() - self.began_at
        return Invocation(self.request_id, status, payload, tuple(self.chunks), self.prelude, error, seconds)


class Exchange:
    """Offers events to the runtime and receives its responses."""

    def __init__(self) -> None:
        self._state = threading.Condition()
        self._current: Pending | None = None
        self._dead: FunctionError | None = None
        self._closed = False

    def offer(self, pending: Pending) -> Invocation:
        """Pass an event to the runtime and wait for the result.

        Raises RuntimeError while another invocation is in progress.
        """
        with self._state:
            if self._current is not None:
                raise RuntimeError("one invocation at a time")
            self._current = pending
            self._state.notify_all()
            while pending.status is None:
                left = pending.began_at + pending.timeout_seconds - time.monotonic()
                if self._dead is not None:
                    pending.error, pending.status = self._dead, "failed"
                elif left <= 0:
                    break
                else:
                    self._state.wait(left)
            self._current = None
            return pending.result()

    def take(self) -> Pending | None:
        """Wait for the next invocation and return it, or return None if the exchange is closed."""
        with self._state:
            while not self._closed:
                current = self._current
                if current is not None and current.handed_at is None:
                    current.handed_at = time.monotonic()
                    return current
                self._state.wait()
            return None

    def find(self, request_id: str) -> Pending | None:
        """Return the current invocation if it has this request id, and otherwise None."""
        with self._state:
            current = self._current
        return current if current is not None and current.request_id == request_id else None

    def finish(self, pending: Pending, *, streamed: bool = False, error: FunctionError | None = None) -> None:
        """End an invocation with the received chunks, or with an error.

        If `streamed` is true, the prelude is separated from the chunks.
        """
        if streamed and pending.chunks:
            try:
                pending.prelude, body = split_prelude(pending.chunks)
                pending.chunks = list(body)
            except ValueError as failure:
                error = error or FunctionError("Runtime.InvalidPrelude", str(failure))
        with self._state:
            pending.error = error
            pending.status = "failed" if error else "succeeded"
            self._state.notify_all()

    def fail(self, error: FunctionError) -> None:
        """Record that the runtime failed to start or has ended. Only the first error is kept."""
        with self._state:
            self._dead = self._dead or error
            self._state.notify_all()

    def close(self) -> None:
        """End all calls that wait for an invocation or for the end of the exchange."""
        with self._state:
            self._closed = True
            self._state.notify_all()

    def wait_until_closed(self) -> None:
        """Block until the exchange is closed. Used for an extension that has not registered for events."""
        with self._state:
            self._state.wait_for(lambda: self._closed)
