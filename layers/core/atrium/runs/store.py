"""Runs in the table. A run is opened by one put, renewed by its worker, and ended by one conditional update."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from atrium.kernel.clock import epoch_seconds, format_time
from atrium.kernel.errors import ConditionFailed
from atrium.kernel.ids import RunId, SessionId
from atrium.kernel.pagination import Page, PageRequest
from atrium.runs.items import (
    opening_attributes,
    outcome_content,
    question_content,
    read_run,
    spend_attribute,
)
from atrium.runs.model import LEASE_SECONDS, Outcome, Run, Spend
from atrium.runs.payload import store_payload
from atrium.storage import keys
from atrium.storage.blobs import TenantBlobs
from atrium.storage.queries import Query
from atrium.storage.table import TenantTable
from atrium.storage.writes import EXISTS, NEW, Put, Update


class LeaseLost(Exception):
    """The run is no longer this worker's: it was ended by the sweeper or by somebody's deletion."""


@dataclass(frozen=True, slots=True)
class RunStore:
    """Every access to one tenant's runs."""

    table: TenantTable
    blobs: TenantBlobs

    def open(self, run: Run) -> None:
        """Record a new run; the same one again (a reply was lost) is no error."""
        item = opening_attributes(run, self.table.tenant_id)
        item |= store_payload(self.blobs, "question", f"runs/{run.id}/question", question_content(run))
        self.table.write(Put(keys.run(run.id), item, NEW + " OR #id = :id", {"id": run.id}))

    def get(self, run_id: RunId) -> Run | None:
        item = self.table.get(keys.run(run_id))
        return read_run(item, self.blobs) if item else None

    def renew(self, run_id: RunId, *, now: datetime, spend: Spend) -> bool:
        """Extend the lease, note what was used so far, and tell whether cancellation was asked for.

        `LeaseLost` when the run has ended otherwise.
        """
        values = {
            "lease": epoch_seconds(now + timedelta(seconds=LEASE_SECONDS)),
            "spend": spend_attribute(spend),
            "running": "running",
        }
        update = Update(keys.run(run_id), "SET #lease = :lease, #spend = :spend", "#status = :running", values)
        try:
            item = self.table.write(update)
        except ConditionFailed as error:
            raise LeaseLost from error
        return bool(item.get("cancel"))

    def is_cancelled(self, run_id: RunId) -> bool:
        """Tell whether cancellation was asked for, by one read; `LeaseLost` when the run has ended."""
        item = self.table.get(keys.run(run_id))
        if item is None or item["status"] != "running":
            raise LeaseLost
        return bool(item.get("cancel"))

    def request_cancel(self, run_id: RunId) -> Run | None:
        """Mark an open run for its worker to stop; an ended one stays as it is. Returns the run, None if unknown."""
        update = Update(keys.run(run_id), "SET #cancel = :yes", EXISTS + " AND attribute_exists(#lease)", {"yes": True})
        try:
            return read_run(self.table.write(update), self.blobs)
        except ConditionFailed:
            return self.get(run_id)

    def end(self, run_id: RunId, outcome: Outcome, *, at: datetime, lapsed_before: datetime | None = None) -> bool:
        """Commit how a run ended, once. False when it had ended already, or (for the sweeper, which passes
        `lapsed_before`) when its lease is alive after all."""
        attributes = {
            "status": outcome.status,
            "stop_reason": outcome.stop_reason,
            "spend": spend_attribute(outcome.spend),
            "last_sequence": outcome.last_sequence,
            "iterations": outcome.iterations,
            "degraded": outcome.degraded or None,
            "ended_at": format_time(at),
            "error_code": outcome.error.code if outcome.error else None,
            "error_detail": outcome.error.detail if outcome.error else None,
        } | store_payload(self.blobs, "outcome", f"runs/{run_id}/outcome", outcome_content(outcome))
        present = {name: value for name, value in attributes.items() if value is not None}
        condition, values = "#status = :running", {**present, "running": "running"}
        if lapsed_before is not None:
            condition += " AND #lease < :lapsed"
            values["lapsed"] = epoch_seconds(lapsed_before)
        assignments = ", ".join(f"#{name} = :{name}" for name in present)
        expression = f"SET {assignments} REMOVE #sweep_pk, #sweep_sk, #lease"
        try:
            self.table.write(Update(keys.run(run_id), expression, condition, values))
        except ConditionFailed as error:
            return _is_ours(error, present["ended_at"], outcome)
        return True

    def list_by_owner(self, owner: str, page: PageRequest) -> Page[Run]:
        """List an owner's runs, newest first."""
        return self._list(Query(keys.runs_of(owner), index="gsi1", newest_first=True), page)

    def list_all(self, page: PageRequest) -> Page[Run]:
        """List the tenant's runs, newest first."""
        return self._list(Query(keys.all_runs(), index="gsi2", newest_first=True), page)

    def list_by_session(self, session_id: SessionId, page: PageRequest, *, newest_first: bool) -> Page[Run]:
        """List a session's runs, strongly consistent."""
        query = Query(
            keys.session(session_id).partition,
            prefix="RUN#",
            newest_first=newest_first,
            limit=page.limit,
            position=page.position,
        )
        return self.table.query(query).map(self._read)

    def _list(self, query: Query, page: PageRequest) -> Page[Run]:
        full = Query(query.partition, index=query.index, newest_first=True, limit=page.limit, position=page.position)
        return self.table.fetch(full).map(self._read)

    def _read(self, item: dict[str, object]) -> Run:
        return read_run(item, self.blobs)


def _is_ours(error: ConditionFailed, ended_at: str, outcome: Outcome) -> bool:
    """Recognise a write of ours whose first reply was lost and that the SDK sent again."""
    item = error.item or {}
    return item.get("ended_at") == ended_at and item.get("last_sequence") == outcome.last_sequence
