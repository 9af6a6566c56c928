"""Stores runs and their events in the table.

A run is created by one put, renewed by its worker, and ended by one conditional update. Events are stored in batches,
so that a client can reconnect. The key of a batch is its last sequence number, so the events after number n are found
by `sort > n`. The first event and the last events are not stored. They are derived from the run's item, so they are
always consistent with the item.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from atrium.kernel.clock import Clock, epoch_seconds, format_time
from atrium.kernel.errors import ConditionFailed, Unavailable
from atrium.kernel.ids import RunId, SessionId
from atrium.kernel.pagination import Page, PageRequest
from atrium.quotas.model import Reservation
from atrium.runs.items import (
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
)
from atrium.runs.model import RUN_LEASE_SECONDS, Outcome, Run, RunEvent, Spend
from atrium.storage import keys
from atrium.storage.blobs import BlobGone, TenantBlobs
from atrium.storage.table import Query, TenantTable
from atrium.storage.writes import ANY, EXISTS, NEW, Put, Update

_OPEN = "#status = :running"
_WORKERS = _OPEN + " AND attribute_not_exists(#swept_by)"
_SWEEPERS = _OPEN + " AND attribute_exists(#swept_by)"
_RUNNING = {"running": "running"}
FLUSH_SECONDS = 2.0
KEPT_DAYS = 7
BATCH_EVENTS_MAX = 400


class LeaseLost(Exception):
    """The run no longer belongs to this worker, because the run was taken over by the sweeper, ended or deleted."""


@dataclass(frozen=True, slots=True)
class RunStore:
    """Reads and writes the runs of one tenant."""

    table: TenantTable
    blobs: TenantBlobs

    def open(self, run: Run) -> None:
        """Write a new run. Idempotent."""
        item = opening_attributes(run, self.table.tenant_id)
        item |= store_payload(self.blobs, "question", f"runs/{run.id}/question", question_content(run))
        self.table.write(Put(keys.run(run.id), item, NEW + " OR #id = :id", {"id": run.id}))

    def get(self, run_id: RunId) -> Run | None:
        item = self.table.get(keys.run(run_id))
        return self._read(item) if item else None

    def find(self, own_ulid: str) -> RunId | None:
        """Return the id of the run with this ULID, or None. Reads an index, so it is eventually consistent."""
        query = Query(keys.all_runs(), index="gsi2", prefix=f"run_{own_ulid}", limit=1)
        found = self.table.query(query).items
        return RunId(found[0]["gsi2sk"]) if found else None

    def renew(self, run_id: RunId, *, now: datetime, spend: Spend) -> bool:
        """Extend the lease, store the usage so far, and return whether cancellation was requested.

        Raises `LeaseLost` if the run has ended or the sweeper has taken it over.
        """
        lease = epoch_seconds(now + timedelta(seconds=RUN_LEASE_SECONDS))
        values = {**_RUNNING, "lease": lease, "spend": spend_attribute(spend)}
        update = Update(keys.run(run_id), "SET #lease = :lease, #spend = :spend", _WORKERS, values)
        try:
            item = self.table.write(update)
        except ConditionFailed as error:
            raise LeaseLost from error
        return bool(item.get("cancel"))

    def note_reservation(self, reservation: Reservation, *, spend: Spend) -> bool:
        """Store the reservation of the next model call in the run's item, for a run that no admission item counts.

        Returns False if the run no longer belongs to this worker.
        """
        values = {**_RUNNING, "reservation": reservation.to_item(), "spend": spend_attribute(spend)}
        expression = "SET #reservation = :reservation, #spend = :spend"
        try:
            self.table.write(Update(keys.run(reservation.run_id), expression, _WORKERS, values))
        except ConditionFailed:
            return False
        return True

    def is_cancelled(self, run_id: RunId) -> bool:
        """Return whether cancellation was requested. Costs one read. Raises `LeaseLost` (see `renew`)."""
        item = self.table.get(keys.run(run_id))
        if item is None or item["status"] != "running" or "swept_by" in item:
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

    def take_over(self, run_id: RunId, *, now: datetime) -> Run | None:
        """Take over a run whose lease has expired. Its worker can then neither renew nor end the run. Idempotent.

        Returns the run, or None if the lease is valid or the run has ended.
        """
        values = {**_RUNNING, "now": epoch_seconds(now), "at": format_time(now)}
        condition = f"{_OPEN} AND #lease < :now"
        try:
            return self._read(self.table.write(Update(keys.run(run_id), "SET #swept_by = :at", condition, values)))
        except ConditionFailed:
            return None

    def end(self, run_id: RunId, outcome: Outcome, *, at: datetime) -> bool:
        """Write the outcome of a run once. Return False if the run has ended or was taken over by another process.

        The worker can write an outcome only before the run is taken over, and the sweeper only after it has taken over
        the run. Idempotent for the same outcome.
        """
        content = store_payload(self.blobs, "outcome", f"runs/{run_id}/outcome", outcome_content(outcome))
        attributes = closing_attributes(outcome, at) | content
        present = {name: value for name, value in attributes.items() if value is not None}
        assignments = ", ".join(f"#{name} = :{name}" for name in present)
        expression = f"SET {assignments} REMOVE #sweep_pk, #sweep_sk, #lease, #swept_by"
        condition = _SWEEPERS if outcome.swept else _WORKERS
        try:
            self.table.write(Update(keys.run(run_id), expression, condition, {**present, **_RUNNING}))
        except ConditionFailed as error:
            if error.item and error.item.get("mark") == outcome.mark:
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

    def list_by_session(self, session_id: SessionId, page: PageRequest, *, newest_first: bool) -> Page[Run]:
        """List the runs of a session. Strongly consistent."""
        query = Query(
            keys.session(session_id).partition,
            prefix="RUN#",
            newest_first=newest_first,
            limit=page.limit,
            position=page.position,
        )
        return self._readable(self.table.query(query))

    def _list(self, query: Query, page: PageRequest) -> Page[Run]:
        full = Query(query.partition, index=query.index, newest_first=True, limit=page.limit, position=page.position)
        return self._readable(self.table.fetch(full))

    def _readable(self, page: Page[dict[str, Any]]) -> Page[Run]:
        runs = [self._read(item) for item in page.items]
        return Page([run for run in runs if run is not None], page.position)

    def _read(self, item: dict[str, Any]) -> Run | None:
        """Return the run, or None if its blobs were deleted because its session is being deleted."""
        try:
            return read_run(item, self.blobs)
        except BlobGone:
            return None


@dataclass(slots=True)
class EventLog:
    """Collects the events of a run and stores them in batches, two seconds after the last batch or after 400 events."""

    table: TenantTable
    blobs: TenantBlobs
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
        """Store the pending events as one batch. If the write fails, the events remain pending for the next batch."""
        last = self.pending[-1].sequence
        item = store_payload(self.blobs, "events", f"runs/{self.run_id}/events/{last}", encode_events(self.pending))
        item |= {"last": last, "ttl": epoch_seconds(now + timedelta(days=KEPT_DAYS))}
        self.table.write(Put(keys.events(self.run_id, last), item, ANY))
        self.pending.clear()
        self.flushed_at = now

    def take_tail(self) -> tuple[RunEvent, ...]:
        """Remove and return the pending events. The caller stores them in the run's item."""
        tail = tuple(self.pending)
        self.pending.clear()
        return tail


def read_stored(table: TenantTable, blobs: TenantBlobs, run_id: RunId, *, after: int) -> Iterator[RunEvent]:
    """Yield the stored events with a sequence number above `after`, in order and without duplicates."""
    first = keys.events(run_id, after)
    position = None
    while True:
        page = table.query(Query(first.partition, after=first.sort, limit=50, position=position))
        for item in page.items:
            for event in decode_events(load_payload(blobs, "events", item)):
                if event.sequence > after:
                    after = event.sequence
                    yield event
        position = page.position
        if position is None:
            return
