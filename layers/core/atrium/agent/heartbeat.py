"""The heartbeat of a running turn: a thread that renews its leases, and stops it on cancellation or its deadline."""

import threading
import time
from collections.abc import Callable
from contextvars import copy_context
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from atrium.agent.signals import StopSignal
from atrium.kernel.clock import Clock
from atrium.kernel.errors import Unavailable
from atrium.kernel.ids import RunId
from atrium.runs.model import CANCEL_POLL_SECONDS, LEASE_SECONDS, RENEW_SECONDS, Spend
from atrium.runs.store import LeaseLost, RunStore


@dataclass(slots=True)
class LeaseHeartbeat:
    """A context manager around a turn. `deadline` is on the monotonic clock; `spend` is called in the thread.

    `renew_slots` renews the leases of the turn's slots; False if a slot was taken away. If the table does not
    answer for longer than the lease, the turn is stopped as lost.
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
    lease_seconds: float = LEASE_SECONDS
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
        """Stop the turn as lost if its lease must have expired."""
        if self._age() > self.lease_seconds:
            self.signal.stop("lost")
