"""The beat beside a running turn: renews its lease, sees a cancellation, and ends it when its time is over."""

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from atrium.agent.signals import StopSignal
from atrium.kernel.clock import Clock
from atrium.kernel.errors import Unavailable
from atrium.kernel.ids import RunId
from atrium.runs.model import CANCEL_POLL_SECONDS, LEASE_SECONDS, RENEW_SECONDS, Spend
from atrium.runs.store import LeaseLost, RunStore


class Heart:
    """A context manager round a turn. A table that is gone for longer than the lease stops the turn as lost."""

    def __init__(
        self,
        run_id: RunId,
        *,
        runs: RunStore,
        clock: Clock,
        signal: StopSignal,
        spend: Callable[[], Spend],
        max_seconds: float,
    ) -> None:
        self._run_id, self._runs, self._clock, self._signal, self._spend = run_id, runs, clock, signal, spend
        self._deadline = time.monotonic() + max_seconds
        self._renewed = time.monotonic()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name=f"heart-{run_id[:12]}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _beat(self) -> None:
        while not self._ended.wait(min(CANCEL_POLL_SECONDS, max(0.0, self._deadline - time.monotonic()))):
            if time.monotonic() >= self._deadline:
                self._signal.stop("max_seconds")
                self._deadline = float("inf")
                continue
            self._look()

    def _look(self) -> None:
        due = time.monotonic() - self._renewed >= RENEW_SECONDS
        try:
            if due:
                cancelled = self._runs.renew(self._run_id, now=self._clock(), spend=self._spend())
                self._renewed = time.monotonic()
            else:
                cancelled = self._runs.is_cancelled(self._run_id)
        except LeaseLost:
            self._signal.stop("lost")
        except Unavailable:
            if time.monotonic() - self._renewed > LEASE_SECONDS:
                self._signal.stop("lost")
        else:
            if cancelled:
                self._signal.stop("cancelled")
