"""`Idempotency-Key` on a turn: the key is tied to the run, and the run answers again."""

from collections.abc import Callable
from typing import Self

from atrium.agent.turn import Turn
from atrium.bootstrap import Runtime
from atrium.http import logs
from atrium.http.context import read_call
from atrium.http.dependencies import get_runtime
from atrium.http.idempotency import (
    CallKey,
    IdempotencyStore,
    Mark,
    SavedRun,
    open_store,
    read_call_key,
    read_deadline_ms,
)
from atrium.kernel.errors import Conflict, IdempotencyInProgress, Unavailable
from atrium.kernel.ids import RunId
from atrium.runs.model import Run
from atrium.tenants.context import Caller, TenantContext
from fastapi import Request

from functions.chat.services import run_store

_OUR_SIDE = 500


class IdempotentTurn:
    """One call, with or without a key. Order: `begin`, then `attach` unless a run was returned."""

    def __init__(self, runtime: Runtime, call: TenantContext | Caller, key: CallKey | None, ends_at_ms: int) -> None:
        self._runtime = runtime
        self._call = call
        self._key = key
        self._ends_at_ms = ends_at_ms
        self._mark: Mark | None = None
        self.is_replay = False

    @classmethod
    async def read(cls, request: Request) -> Self:
        runtime = await get_runtime(request)
        return cls(runtime, read_call(request), await read_call_key(request), read_deadline_ms(request, runtime))

    def begin(self) -> Run | None:
        """Return the ended run that this key made before, or None if the call is to be executed."""
        if self._key is None:
            return None
        found = self._store().begin(self._key, ends_at_ms=self._ends_at_ms)
        if isinstance(found, Mark):
            self._mark = found
            return None
        if not isinstance(found, SavedRun) or not isinstance(self._call, TenantContext):
            raise Conflict
        run = run_store(self._runtime, self._call.tenant_id).get(RunId(found.run_id))
        if run is None:
            raise Conflict("the run of this key was deleted")
        if run.is_open:
            raise IdempotencyInProgress(retry_after_seconds=1)
        if _may_be_retried(run) and self._retake(found):
            return None
        self.is_replay = True
        return run

    def _retake(self, saved: SavedRun) -> bool:
        """Take the key back from a run that failed for the moment; False if another call was faster."""
        if self._key is None:
            return False
        taken = self._store().begin(self._key, ends_at_ms=self._ends_at_ms, instead_of=saved)
        self._mark = taken if isinstance(taken, Mark) else None
        return self._mark is not None

    def attach(self, open_turn: Callable[[], Turn]) -> Turn:
        """Open the turn and tie the key to its run; a refusal frees the key.

        A table that fails now must not take away a turn that is open, nor hide why one is not: the mark then ends
        by itself.
        """
        try:
            turn = open_turn()
        except Exception:
            self._settle(lambda store, mark: store.abandon(mark))
            raise
        self._settle(lambda store, mark: store.complete(mark, SavedRun(turn.run.id)))
        return turn

    def _settle(self, settle: Callable[[IdempotencyStore, Mark], bool]) -> None:
        if self._mark is None:
            return
        try:
            settle(self._store(), self._mark)
        except Unavailable as error:
            logs.logger().warning("idempotency key not settled", internal=error.internal)

    def _store(self) -> IdempotencyStore:
        return open_store(self._runtime, self._call)


def _may_be_retried(run: Run) -> bool:
    """Tell whether a run failed in a way that a retry may better, or any on our side: then its key makes a new run.

    What no retry betters may be better all the same once an operator has been at it.
    """
    failure = run.outcome.error.to_failure(run.id) if run.outcome and run.outcome.error else None
    return failure is not None and (failure.retryable or failure.status >= _OUR_SIDE)
