"""The stop signal of a turn, and the heartbeat thread, which renews the turn's leases and can stop the turn."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import dataclass, field
from types import TracebackType
from typing import Literal, Self

from atrium.kernel.clock import Clock
from atrium.kernel.errors import Unavailable
from atrium.kernel.ids import RunId
from atrium.llm.model import ModelStream
from atrium.runs.model import CANCEL_POLL_SECONDS, RENEW_SECONDS, RUN_LEASE_SECONDS, Spend
from atrium.runs.store import LeaseLost, RunStore

type StopCause = Literal["cancelled", "max_seconds", "lost"]


class StopSignal:
    """A signal that stops a turn. Any thread can set the signal; only the first cause is recorded."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._cause: StopCause | None = None
        self._stream: ModelStream | None = None
        self._set = threading.Event()

    @property
    def cause(self) -> StopCause | None:
        return self._cause

    def stop(self, cause: StopCause) -> None:
        """Stop the turn and close the model call in progress. Later causes are ignored."""
        with self._lock:
            if self._cause is not None:
                return
            self._cause = cause
            stream = self._stream
        self._set.set()
        if stream is not None:
            stream.close()

    def wait(self, timeout_seconds: float) -> bool:
        """Wait until the turn is stopped. Return False after the timeout."""
        return self._set.wait(timeout_seconds)

    @contextmanager
    def closing(self, stream: ModelStream) -> Iterator[ModelStream]:
        """Register a model call for the block, so that `stop` can close it. The call is always closed at the end."""
        with self._lock:
            self._stream = stream
            stopped = self._cause is not None
        if stopped:
            stream.close()
        try:
            yield stream
        finally:
            with self._lock:
                self._stream = None
            stream.close()


@dataclass(slots=True)
class LeaseHeartbeat:
    """A context manager that runs the heartbeat thread of a turn. `deadline` is a time of the monotonic clock.

    The thread calls `spend` and `renew_slots`, which returns False if a slot was removed. If the table does not respond
    for longer than the lease, the turn is stopped with the cause `lost`.
    """

    run_id: RunId
    runs: RunStore
    clock: Clock
    signal: StopSignal
    spend: Callable[[], Spend]
    deadline: float
    on_defect: Callable[[BaseException], None]
    renew_slots: Callable[[], bool] = lambda: True
    poll_seconds: float = CANCEL_POLL_SECONDS
    renew_seconds: float = RENEW_SECONDS
    lease_seconds: float = RUN_LEASE_SECONDS
    _renewed: float = field(default_factory=time.monotonic)
    _ended: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=copy_context().run, args=(self._run,), name="heartbeat", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        if self._thread is not None:
            self._thread.join()

    def secure(self) -> None:
        """Renew the run's lease if it expires soon. Raise `LeaseLost` if the run no longer belongs to this worker."""
        if self._age() >= 2 * self.renew_seconds:
            self.runs.renew(self.run_id, now=self.clock(), spend=self.spend())

    def _run(self) -> None:
        while not self._ended.wait(min(self.poll_seconds, max(0.0, self.deadline - time.monotonic()))):
            if time.monotonic() >= self.deadline:
                self.signal.stop("max_seconds")
                self.deadline = float("inf")
                continue
            try:
                self._look()
            except Exception as error:  # noqa: BLE001 - without a heartbeat a turn has no deadline
                self.on_defect(error)
                self._give_up()

    def _look(self) -> None:
        try:
            cancelled = self._renew() if self._age() >= self.renew_seconds else self.runs.is_cancelled(self.run_id)
        except LeaseLost:
            self.signal.stop("lost")
        except Unavailable:
            self._give_up()
        else:
            if cancelled:
                self.signal.stop("cancelled")

    def _renew(self) -> bool:
        cancelled = self.runs.renew(self.run_id, now=self.clock(), spend=self.spend())
        if not self.renew_slots():
            raise LeaseLost
        self._renewed = time.monotonic()
        return cancelled

    def _age(self) -> float:
        return time.monotonic() - self._renewed

    def _give_up(self) -> None:
        """Stop the turn with the cause `lost` if its lease has expired."""
        if self._age() > self.lease_seconds:
            self.signal.stop("lost")
