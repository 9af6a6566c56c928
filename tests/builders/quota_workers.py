"""Workers that run operations of the `QuotaService` in turns, for `tests.builders.quota_model`.

Each worker has its own clock, and stops before each call to the table, so the calls of several workers interleave in
any order. A call can fail, be applied without a reply, or be repeated, and a worker can be killed.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from atrium.kernel.errors import AtriumError, ConditionFailed, Unavailable
from atrium.quotas.model import TENANT, ScopeLimits
from atrium.quotas.service import QuotaService
from atrium.storage import keys
from atrium.storage.keys import Key
from atrium.storage.table import Contended, TransactionRefused
from greenlet import getcurrent, greenlet  # type: ignore[import-untyped]  # it has no types

from tests.builders.memory_table import MemoryTable
from tests.builders.quota_ledger import Ledger, Worker

type Kind = Literal[
    "admit", "admit again", "extend", "renew", "settle", "release", "session", "sweep", "wait", "limit", "go"
]
type Fate = Literal["go", "repeat", "lose", "fail", "contend", "die", "die after"]

KEY, AGENT = "key_1", "agt_1"
SCOPES: Mapping[str, Literal["key", "agent", "tenant"]] = {KEY: "key", AGENT: "agent", TENANT: "tenant"}
SKEWS = (0.0, 0.0, 0.3, 1.0, 2.0, -0.3, -1.0, -2.0)
IN_FLIGHT_MAX = 4


@dataclass(frozen=True)
class Step:
    """One step. `pick` chooses a run or worker. `amount` is a number of tokens or an index.

    `fate` is the outcome of a call to the table. Only a `whole` operation runs to its end without a stop.
    """

    kind: Kind
    pick: int = 0
    amount: int = 0
    skew: int = 0
    whole: bool = True
    fate: Fate = "go"


class Killed(BaseException):
    """Raised in a worker to simulate that its process was killed."""


class Workers:
    """The table, the time, and the workers. `books` has the expected state of the item of each scope."""

    def __init__(self, start: datetime) -> None:
        self.table = MemoryTable()
        self.table.intercept, self.table.on_store = self._stop, self._note
        self.now = start
        self.flying: list[Worker] = []
        self.at_work: Worker | None = None
        self.books: dict[str, Ledger] = {scope_id: Ledger() for scope_id in SCOPES}

    def _stop(self, name: str, send: Callable[[], Any]) -> Any:
        """Stop the current worker before a call to the table, then apply the fate of the call."""
        worker = self.at_work
        assert worker is not None
        fate: Fate = getcurrent().parent.switch() if worker.thread is getcurrent() else "go"
        worker.faults += fate not in {"go", "repeat"}
        worker.writes += name in {"write", "transact"}
        match fate:
            case "fail":
                raise Unavailable(internal="not sent")
            case "contend" if name in {"write", "transact"}:
                raise Contended(internal="another transaction")
            case "die":
                raise Killed
            case "repeat" if name in {"write", "transact"}:
                with suppress(ConditionFailed, TransactionRefused):
                    send()
                return send()
            case "lose" | "die after":
                send()
                raise Unavailable(internal="reply lost") if fate == "lose" else Killed
        return send()

    def _note(self, key: Key, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
        if key.partition == keys.admissions():
            assert self.at_work is not None
            scope_id = TENANT if key.sort == "TENANT" else key.sort
            self.books[scope_id].note(scope_id, before, after, self.at_work)

    def _service(self, skew: float) -> QuotaService:
        return QuotaService(self.table, lambda: self.now + timedelta(seconds=skew), pause=lambda _: None)

    def start(
        self, what: str, act: Callable[[QuotaService], Any], step: Step, scopes: Sequence[ScopeLimits] = (), **more: Any
    ) -> Worker:
        """Start a worker. It stops before its first call to the table, unless the step is `whole`."""
        skew = SKEWS[step.skew % len(SKEWS)]
        service = self._service(skew)
        worker = Worker(what, lambda: self.now.timestamp() + skew, {each.id: each for each in scopes}, **more)
        worker.thread = greenlet(lambda: self._run(worker, act, service))
        self.flying.append(worker)
        self.advance(worker, None)
        if step.whole:
            self.finish(worker)
        while len(self.flying) > IN_FLIGHT_MAX:
            self.finish(self.flying[0])
        return worker

    def _run(self, worker: Worker, act: Callable[[QuotaService], Any], service: QuotaService) -> None:
        try:
            worker.answer = act(service)
        except AtriumError as failure:
            worker.answer = failure
        except Killed as end:
            worker.answer = end

    def advance(self, worker: Worker, fate: Fate | None) -> None:
        """Apply `fate` to the worker's pending call, and run the worker to its next call. None starts the worker."""
        before, self.at_work = self.at_work, worker
        try:
            worker.thread.switch() if fate is None else worker.thread.switch(fate)
        finally:
            self.at_work = before
        if worker.thread.dead and worker in self.flying:
            self.flying.remove(worker)

    def finish(self, worker: Worker) -> None:
        for _ in range(500):
            if worker.thread.dead:
                return
            self.advance(worker, "go")
        raise AssertionError(f"{worker.what} does not end")
