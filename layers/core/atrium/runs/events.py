"""The events of a run, stored in batches so that any client can come back.

A batch is keyed by its last sequence number: what follows number n is then `sort > n`. The first event and
the last ones are not stored: they are read off the run itself, so they can never contradict it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from atrium.kernel.clock import Clock, epoch_seconds
from atrium.kernel.errors import Unavailable
from atrium.kernel.ids import RunId
from atrium.runs.model import RunEvent
from atrium.runs.payload import decode_events, encode_events, load_payload, store_payload
from atrium.storage import keys
from atrium.storage.blobs import TenantBlobs
from atrium.storage.queries import Query
from atrium.storage.table import TenantTable
from atrium.storage.writes import ANY, Put

FLUSH_SECONDS = 2.0
KEPT_DAYS = 7
BATCH_EVENTS_MAX = 400


@dataclass(slots=True)
class EventLog:
    """The writer's side: collects events, and stores a batch when the last flush is two seconds old."""

    table: TenantTable
    blobs: TenantBlobs
    clock: Clock
    run_id: RunId
    flushed_at: datetime
    pending: list[RunEvent] = field(default_factory=list)

    def append(self, event: RunEvent) -> None:
        """Take one event; it is stored at once, with the pending ones, when a flush is due.

        A table that refuses now does not end the turn: the events stay pending until the next flush, or the end.
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
        """Store what is pending as one batch; one that was stored but not confirmed is stored again within the next."""
        last = self.pending[-1].sequence
        item = store_payload(self.blobs, "events", f"runs/{self.run_id}/events/{last}", encode_events(self.pending))
        item |= {"last": last, "ttl": epoch_seconds(now + timedelta(days=KEPT_DAYS))}
        self.table.write(Put(keys.events(self.run_id, last), item, ANY))
        self.pending.clear()
        self.flushed_at = now

    def take_tail(self) -> tuple[RunEvent, ...]:
        """Hand over what was not stored, for the run's own item to carry."""
        tail = tuple(self.pending)
        self.pending.clear()
        return tail


def read_stored(table: TenantTable, blobs: TenantBlobs, run_id: RunId, *, after: int) -> Iterator[RunEvent]:
    """Yield the stored events whose sequence is greater than `after`, in order, each once (batches may overlap)."""
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
