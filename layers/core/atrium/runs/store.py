"""Stores runs and their events in the table.

A run is created by one put, renewed by its worker, and ended by one conditional update. Events are stored in batches,
so that a client can reconnect. The key of a batch is its last sequence number, so the events after number n are found
by `sort > n`. The first event and the last events are not stored. They are derived from the run's item, so they are
always consistent with the item.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from secrets import token_hex
from typing import Any

from atrium.kernel.clock import Clock, epoch_seconds
from atrium.kernel.errors import ConditionFailed, Unavailable
from atrium.kernel.ids import RunId, SessionId, is_stateless
from atrium.kernel.pagination import Page, PageRequest
from atrium.quotas.model import Reservation
from atrium.runs.items import (
    SEGMENT,
    closing_attributes,
    decode_events,
    encode_events,
    load_payload,
    opening_attributes,
    outcome_content,
    question_content,
    read_run,
    references,
    spend_attribute,
    store_payload,
    sweep_attributes,
)
from atrium.runs.model import RUN_LEASE_SECONDS, Outcome, Run, RunEvent, Spend
from atrium.storage import keys
from atrium.storage.blobs import BlobGone, TenantBlobs
from atrium.storage.table import Query, TenantTable
from atrium.storage.writes import EXISTS, NEW, Put, Update

type Item = dict[str, Any]

_RUNNING = {"running": "running"}
_WAITING = {"waiting": "waiting_approval"}
_SWEPT = "#sweep_pk = :sweep_pk, #sweep_sk = :sweep_sk"
FLUSH_SECONDS = 2.0
KEPT_DAYS = 7
STATELESS_DAYS = 30
"""Number of days for which a run without a session is stored."""
_SEQUENCE_MAX = 10**keys.SEQUENCE_DIGITS - 1
BATCH_EVENTS_MAX = 400


class LeaseLost(Exception):
    """The run no longer belongs to this worker, because it was taken over, ended or deleted. `item` is its item."""

    def __init__(self, item: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        self.item = item


@dataclass(frozen=True, slots=True)
class RunStore:
    """Reads and writes the runs of one tenant.

    `epoch` is the fencing token of a worker: the number of times that its run was taken over. Each write of a worker
    requires that the run still has this epoch.
    """

    table: TenantTable
    blobs: TenantBlobs
    epoch: int = 0

    def open(self, run: Run) -> None:
        """Write a new run. Idempotent."""
        item = opening_attributes(run, self.table.tenant_id)
        if is_stateless(run.id):
            item["ttl"] = epoch_seconds(run.started_at + timedelta(days=STATELESS_DAYS))
        item |= store_payload(self._blobs_of(run.id), "question", f"runs/{run.id}/question", question_content(run))
        self.table.write(Put(keys.run(run.id), item, NEW + " OR #id = :id", {"id": run.id}))

    def get(self, run_id: RunId) -> Run | None:
        item = self.table.get(keys.run(run_id))
        return self._read(item) if item else None

    def find_all(self, run_ids: Collection[RunId], *, owner: str) -> dict[RunId, Run]:
        """Return the runs of these ids that exist and belong to an owner. Costs one batch read, and reads of blobs."""
        found = self.table.batch_get([keys.run(run_id) for run_id in run_ids]).values()
        runs = (self._read(dict(item)) for item in found if item["owner"] == owner)
        return {run.id: run for run in runs if run is not None}

    def _blobs_of(self, run_id: RunId) -> TenantBlobs:
        """Return the blobs of a run. Those of a run without a session expire, because no session's deletion removes
        them.
        """
        return replace(self.blobs, are_temporary=True) if is_stateless(run_id) else self.blobs

    def find(self, own_ulid: str) -> RunId | None:
        """Return the id of the run with this ULID, or None. Reads an index, so it is eventually consistent."""
        query = Query(keys.all_runs(), index="gsi2", prefix=f"run_{own_ulid}", limit=1)
        found = self.table.query(query).items
        return RunId(found[0]["gsi2sk"]) if found else None

    def renew(self, run_id: RunId, *, now: datetime, spend: Spend) -> bool:
        """Extend the lease, store the usage so far, and return whether cancellation was requested.

        Raises `LeaseLost` if the run has ended or the sweeper has taken it over.
        """
        values = {"lease": _lease_end(now), "spend": spend_attribute(spend)}
        return bool(self._write_own(run_id, "SET #lease = :lease, #spend = :spend", values).get("cancel"))

    def _write_own(self, run_id: RunId, expression: str, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """Update the run of this worker and return its item. Raise `LeaseLost` if it is not this worker's run."""
        condition, fence = self._fence()
        try:
            return self.table.write(Update(keys.run(run_id), expression, condition, {**values, **fence}))
        except ConditionFailed as error:
            raise LeaseLost(error.item) from error

    def _fence(self) -> tuple[str, dict[str, Any]]:
        if self.epoch:
            return "#status = :running AND #epoch = :epoch", {**_RUNNING, "epoch": self.epoch}
        return "#status = :running AND attribute_not_exists(#epoch)", _RUNNING

    def note_reservation(self, reservation: Reservation, *, spend: Spend) -> bool:
        """Store the reservation of the next model call in the run's item, for a run that no admission item counts.

        Returns False if the run no longer belongs to this worker.
        """
        values = {"reservation": reservation.to_item(), "spend": spend_attribute(spend)}
        expression = "SET #reservation = :reservation, #spend = :spend"
        try:
            self._write_own(reservation.run_id, expression, values)
        except LeaseLost:
            return False
        return True

    def resume(self, run: Run, reservation: Reservation, after: int) -> None:
        """Store the new reservation and the keys of a run that was taken over, and the number of its last stored event.

        Raises `LeaseLost` if the run no longer belongs to this worker.
        """
        values: dict[str, Any] = {"reservation": reservation.to_item(), "spend": spend_attribute(run.spend)}
        values |= {"ends": {**run.resumed_after, str(self.epoch): after}}
        expression = "SET #reservation = :reservation, #spend = :spend, #resumed_after = :ends"
        if run.own_keys:
            values["keys"] = run.own_keys
        expression += ", #own_keys = :keys" if run.own_keys else " REMOVE #own_keys"
        self._write_own(run.id, expression, values)

    def is_cancelled(self, run_id: RunId) -> bool:
        """Return whether cancellation was requested. Costs one read. Raises `LeaseLost` (see `renew`)."""
        item = self.table.get(keys.run(run_id))
        if item is None or item["status"] != "running" or item.get("epoch", 0) != self.epoch:
            raise LeaseLost
        return bool(item.get("cancel"))

    def request_cancel(self, run_id: RunId) -> Run | None:
        """Request the cancellation of an open run. A run that has ended is not changed.

        Returns the run, or None if it does not exist.
        """
        update = Update(keys.run(run_id), "SET #cancel = :yes", EXISTS + " AND attribute_exists(#lease)", {"yes": True})
        try:
            return self._read(self.table.write(update))
        except ConditionFailed:
            return self.get(run_id)

    def take_over(self, run_id: RunId, *, now: datetime, is_waiting: bool = False) -> Run | None:
        """Take over a run whose lease has expired or, if `is_waiting`, a run that waits for approval.

        The run gets a new epoch and a new lease, so earlier workers can no longer write to it, and is in the sweeper's
        index until it ends. Returns the run, or None if its lease is valid or the run has ended. A lost reply is
        recognised.
        """
        mark = token_hex(8)
        values: dict[str, Any] = {**_RUNNING, **_WAITING, **sweep_attributes(self.table.tenant_id, run_id)}
        values |= {"lease": _lease_end(now), "none": 0, "one": 1, "mark": mark}
        condition = "#status = :waiting"
        if not is_waiting:
            condition = f"({condition} OR #status = :running) AND #lease < :now"
            values["now"] = epoch_seconds(now)
        count = "#epoch = if_not_exists(#epoch, :none) + :one"
        expression = f"SET #status = :running, #lease = :lease, #taken_by = :mark, {count}, {_SWEPT}"
        try:
            return self._read(self.table.write(Update(keys.run(run_id), expression, condition, values)))
        except ConditionFailed as error:
            is_own = error.item is not None and error.item.get("taken_by") == mark
            return self._read(dict(error.item or {})) if is_own else None

    def pause(self, run: Run, *, until: datetime) -> None:
        """Let a run wait, without a worker, for the approval of the calls in `waiting_for`, until the given time.

        Raises `LeaseLost` if the run no longer belongs to this worker. A lost reply is recognised.
        """
        mark = token_hex(8)
        values = {
            **_WAITING,
            "mark": mark,
            **sweep_attributes(self.table.tenant_id, run.id),
            "lease": epoch_seconds(until),
            "calls": list(run.waiting_for),
            "spend": spend_attribute(run.spend),
            "reservation": run.reservation.to_item() if run.reservation else None,
        }
        fields = "#spend = :spend, #reservation = :reservation, #waiting_for = :calls, #paused_by = :mark"
        try:
            self._write_own(run.id, f"SET #status = :waiting, #lease = :lease, {fields}, {_SWEPT}", values)
        except LeaseLost as lost:
            if not lost.item or lost.item.get("paused_by") != mark:
                raise

    def end(self, run_id: RunId, outcome: Outcome, *, at: datetime) -> bool:
        """Write the outcome of a run once. Return False if the run has ended or was taken over by another process.

        Idempotent for the same outcome.
        """
        content = store_payload(self._blobs_of(run_id), "outcome", f"runs/{run_id}/outcome", outcome_content(outcome))
        attributes = closing_attributes(outcome, at) | content
        present = {name: value for name, value in attributes.items() if value is not None}
        assignments = ", ".join(f"#{name} = :{name}" for name in present)
        try:
            self._write_own(
                run_id, f"SET {assignments} REMOVE #sweep_pk, #sweep_sk, #lease, #epoch, #taken_by, #paused_by", present
            )
        except LeaseLost as lost:
            if lost.item and lost.item.get("mark") == outcome.mark:
                return True  # this write succeeded before and its response was lost
            for reference in references(content):
                self.blobs.delete(reference)
            return False
        return True

    def list_by_owner(self, owner: str, page: PageRequest) -> Page[Run]:
        """List the runs of an owner, newest first."""
        return self._list(Query(keys.runs_of(owner), index="gsi1", newest_first=True), page)

    def list_all(self, page: PageRequest) -> Page[Run]:
        """List the runs of the tenant, newest first."""
        return self._list(Query(keys.all_runs(), index="gsi2", newest_first=True), page)

    def list_by_session(
        self, session_id: SessionId, page: PageRequest, *, newest_first: bool, with_messages: bool = True
    ) -> Page[Run]:
        """List the runs of a session. Strongly consistent.

        Without `with_messages`, archived runs have no messages, so that no segment is read.
        """
        query = Query(
            keys.session(session_id).partition,
            prefix="RUN#",
            newest_first=newest_first,
            limit=page.limit,
            position=page.position,
        )
        archived: dict[str, Any] = {}
        restore = partial(self.restored, archived=archived) if with_messages else _without_messages
        return self._readable(self.table.query(query), restore)

    def _list(self, query: Query, page: PageRequest) -> Page[Run]:
        """List runs. An archived run is returned without its messages, so that the list reads no segments."""
        full = Query(query.partition, index=query.index, newest_first=True, limit=page.limit, position=page.position)
        return self._readable(self.table.fetch(full), _without_messages)

    def _readable(self, page: Page[Item], restore: Callable[[Item], Item]) -> Page[Run]:
        runs = [self._read(item, restore) for item in page.items]
        return Page([run for run in runs if run is not None], page.position)

    def _read(self, item: Item, restore: Callable[[Item], Item] | None = None) -> Run | None:
        """Return the run, or None if its blobs were deleted because its session is being deleted."""
        try:
            return read_run(restore(item) if restore else self.restored(item, {}), self.blobs)
        except BlobGone:
            return None

    def restored(self, item: Item, archived: dict[str, Any]) -> Item:
        """Return a run's item with its payloads, also if the run is archived.

        `archived` keeps the last segment for the next call. Raises `BlobGone` if the session is being deleted.
        """
        if SEGMENT not in item:
            return item
        from atrium.runs.segments import restore

        return restore(self.table, self.blobs, item, archived)


def _without_messages(item: Item) -> Item:
    if SEGMENT not in item:
        return item
    from atrium.runs.segments import without_messages

    return without_messages(item)


def _lease_end(now: datetime) -> int:
    return epoch_seconds(now + timedelta(seconds=RUN_LEASE_SECONDS))


@dataclass(slots=True)
class EventLog:
    """Collects the events of a run and stores them in batches, two seconds after the last batch or after 400 events."""

    runs: RunStore
    clock: Clock
    run_id: RunId
    flushed_at: datetime
    pending: list[RunEvent] = field(default_factory=list)

    def append(self, event: RunEvent) -> None:
        """Add an event. If a flush is due, store the pending events.

        If the table is unavailable, the events remain pending until the next flush or the end of the run.
        """
        self.pending.append(event)
        now = self.clock()
        age = (now - self.flushed_at).total_seconds()
        if age < FLUSH_SECONDS and len(self.pending) % BATCH_EVENTS_MAX:
            return
        try:
            self.flush(now)
        except Unavailable:
            self.flushed_at = now

    def flush(self, now: datetime) -> None:
        """Store the pending events as one batch. If the write fails, the events remain pending for the next batch.

        Raises `LeaseLost` if a worker that took over the run has stored this batch.
        """
        if not self.pending:
            return
        epoch = self.runs.epoch
        last = self.pending[-1].sequence
        place, blobs = f"runs/{self.run_id}/events/{last}", replace(self.runs.blobs, are_temporary=True)
        item = store_payload(blobs, "events", place, encode_events(self.pending))
        item |= {"last": last, "ttl": epoch_seconds(now + timedelta(days=KEPT_DAYS)), "epoch": epoch or None}
        newest = "attribute_not_exists(#epoch)" + (" OR #epoch <= :epoch" if epoch else "")
        values = {"epoch": epoch} if epoch else {}
        try:
            self.runs.table.write(Put(keys.events(self.run_id, last), item, newest, values))
        except ConditionFailed as error:
            raise LeaseLost from error
        self.pending.clear()
        self.flushed_at = now

    def take_tail(self) -> tuple[RunEvent, ...]:
        """Remove and return the pending events. The caller stores them in the run's item."""
        tail = tuple(self.pending)
        self.pending.clear()
        return tail


def read_stored(runs: RunStore, run: Run, *, after: int) -> Iterator[RunEvent]:
    """Yield the stored events of a run with a sequence number above `after`, in order and without duplicates.

    Events that a worker stored after another worker had taken over the run are omitted.
    """
    first, last = keys.events(run.id, after + 1), keys.events(run.id, _SEQUENCE_MAX)
    for item in runs.table.query_all(Query(first.partition, between=(first.sort, last.sort), limit=50)):
        epoch = item.get("epoch", 0)
        ends = min((end for later, end in run.resumed_after.items() if int(later) > epoch), default=_SEQUENCE_MAX)
        for event in decode_events(load_payload(runs.blobs, "events", item)):
            if after < event.sequence <= ends:
                after = event.sequence
                yield event
