"""Copies the history of a session into a new session, a fork. Both sessions are independent from then on.

    SESSION#<new>   FORK        marker, written first; the sweeper removes what is left of an interrupted fork
    SESSION#<new>   RUN#<ulid>  the copied runs, with their own blobs
    SESSION#<new>   HEAD        the session, written last, in the transaction that counts it; then the marker is removed

A run is copied, not shared, so that the deletion of a session needs no count of references. A copy has the ULID of its
run, so the order of the runs and the range of a summary stay valid. It has no usage, no events and no index entries: it
is not in lists of runs.

A message inside a turn is the end of the fork's history. If it has tool calls, the message with their results also
belongs to the history, because a model accepts no tool call without a result. The rest of the turn is left out, and
with it the summary that the turn may have made. Such a turn is `cancelled`.
"""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial

from atrium.kernel.errors import Conflict, NotFound, SessionBusy, Unavailable
from atrium.kernel.ids import SessionId, derive_run_id, mint_session_id, own_ulid
from atrium.kernel.pagination import PageRequest, Position
from atrium.llm.model import ToolUse
from atrium.quotas.model import Recorded, Rejected
from atrium.runs.items import (
    closing_attributes,
    opening_attributes,
    outcome_content,
    question_content,
    split_payload,
    store_large,
)  # fmt: skip
from atrium.runs.model import Outcome, Run, Spend
from atrium.sessions.model import ForkOrigin, Session
from atrium.sessions.service import SessionService
from atrium.sessions.store import record_of
from atrium.storage import keys
from atrium.storage.writes import ANY, Put

FORK_RUNS_MAX = 1_000
FORK_SECONDS_MAX = 15
"""The function has 25 seconds."""
ABANDONED_SECONDS = 600
"""Seconds after which the sweeper removes a fork that is not complete. No function that copies runs exists so long."""
_PAGE = 10
_THREADS = 8
_UNLISTED = ("gsi1pk", "gsi1sk", "gsi2pk", "gsi2sk", "sweep_pk", "sweep_sk")
_TOO_LARGE = (
    f"The history is too large for one call: a fork has at most {FORK_RUNS_MAX:,} turns, which must be copied within "
    f"{FORK_SECONDS_MAX} seconds. Send `message_id` of an earlier message."
)


@dataclass(frozen=True, slots=True)
class SessionFork:
    """Creates forks for the caller of a `SessionService`."""

    service: SessionService

    def create(
        self,
        source: Session,
        record: Callable[[SessionId, Put], Recorded | Rejected],
        *,
        message_id: str | None,
        title: str | None,
    ) -> tuple[Session, Recorded | Rejected]:
        """Copy the history up to and including a message, by default the whole history, into a session of the caller.

        Only ended runs are copied. `record` writes and counts the session. Raises `NotFound` for an unknown message,
        `SessionBusy` for a message of a running turn, and `Conflict` if the history is too large.
        """
        sessions, now = self.service.sessions, self.service.clock()
        if message_id is None and source.turn_count > FORK_RUNS_MAX:
            raise Conflict(_TOO_LARGE)
        if message_id is not None:
            for _ in self._pages(source.id, message_id, now):
                pass  # the message must exist before anything is written
        target = mint_session_id(now)
        sessions.mark_fork(target, due=now + timedelta(seconds=ABANDONED_SECONDS))
        copied = self._copy(source.id, target, message_id, now)
        self.service.get(source.id)  # if it was deleted in the meantime, runs may be missing in the copy
        fork = ForkOrigin(source.id, message_id or "")
        session = replace(self._new(target, source, copied, now), title=title or source.title, forked_from=fork)
        recorded = record(target, record_of(session))
        if isinstance(recorded, Recorded):
            with suppress(Unavailable):  # the sweeper removes the marker later
                sessions.unmark_fork(target)
        return session, recorded

    def _new(self, target: SessionId, source: Session, copied: Mapping[str, int], now: datetime) -> Session:
        return replace(
            source,
            id=target,
            owner=self.service.context.owner,
            message_count=sum(copied.values()),
            turn_count=len(copied),
            created_at=now,
            updated_at=now,
            last_active_at=now,
            turn=None,
            last_run_ulid=max(copied, default=""),
            usage={},
        )

    def _copy(self, source_id: SessionId, target: SessionId, message_id: str | None, began: datetime) -> dict[str, int]:
        """Write the copies. Return the number of messages of each run, by the run's ULID."""
        copied: dict[str, int] = {}
        with ThreadPoolExecutor(_THREADS) as threads:
            for runs in self._pages(source_id, message_id, began):
                list(threads.map(partial(self._write, target), runs))
                copied |= {own_ulid(run.id): len(run.messages) for run in runs}
        return copied

    def _pages(self, source_id: SessionId, message_id: str | None, began: datetime) -> Iterator[list[Run]]:
        """Yield the ended runs up to the message, oldest first, in pages. The last run may be cut."""
        position: Position | None = None
        count, is_found, is_last = 0, False, False
        while not is_found and not is_last:
            page = self.service.runs.list_by_session(source_id, PageRequest(_PAGE, position), newest_first=False)
            kept: list[Run] = []
            for run in page.items:
                is_found = any(message.id == message_id for message in run.messages)
                if run.outcome is not None:
                    kept.append(_cut(run, run.outcome, message_id) if is_found and message_id else run)
                if is_found and run.is_open:
                    raise SessionBusy(retry_after_seconds=1)
                if is_found:
                    break
            count += len(kept)
            if count > FORK_RUNS_MAX or self.service.clock() - began > timedelta(seconds=FORK_SECONDS_MAX):
                raise Conflict(_TOO_LARGE)
            yield kept
            position, is_last = page.position, page.position is None
        if message_id is not None and not is_found:
            raise NotFound("Message not found.")

    def _write(self, target: SessionId, run: Run) -> None:
        """Write the copy of an ended run. Its item is written before its blobs, so that a removal finds the blobs."""
        if run.outcome is None:
            return
        store, outcome = self.service.runs, replace(run.outcome, spend=Spend(), tail=(), last_sequence=1)
        copy = replace(
            run,
            id=derive_run_id(run.id, target),
            owner=self.service.context.owner,
            spend=Spend(),
            reservation=None,
            own_keys=frozenset(),
        )
        question, asked = split_payload("question", f"runs/{copy.id}/question", question_content(copy))
        answer, answered = split_payload("outcome", f"runs/{copy.id}/outcome", outcome_content(outcome))
        opening = opening_attributes(copy, store.table.tenant_id)
        closing = closing_attributes(outcome, run.ended_at or run.started_at)
        item = opening | {name: value for name, value in closing.items() if value is not None} | question | answer
        kept = {name: value for name, value in item.items() if name not in _UNLISTED}
        store.table.write(Put(keys.run(copy.id), kept, ANY))
        store_large(store.blobs, asked | answered)


def _cut(run: Run, outcome: Outcome, message_id: str) -> Run:
    """Return a run without the messages after a message and the results of its tool calls."""
    count = next((at for at, message in enumerate(run.messages, 1) if message.id == message_id), 0)
    if any(isinstance(block, ToolUse) for block in run.messages[count - 1].content):
        count += 1
    if count >= len(run.messages):
        return run
    messages = run.messages[1:count]
    cut = replace(outcome, status="cancelled", stop_reason="cancelled", messages=messages, error=None, summary=None)
    return replace(run, status="cancelled", outcome=cut)
