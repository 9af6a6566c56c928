"""Stores a tenant's last rebuild and last comparison, each in one item."""

import secrets
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

from pydantic import TypeAdapter

from atrium.kernel.clock import format_time
from atrium.kernel.errors import ConditionFailed
from atrium.quotas.rebuild.model import Drift, Rebuild, RebuildReport
from atrium.storage import usage_keys
from atrium.storage.table import TenantTable
from atrium.storage.writes import ANY, NEW, Put, Update

LAPSED_SECONDS = 1_200
"""A rebuild that was not updated for this time has failed, because a function runs for at most 900 seconds."""
_REBUILD, _DRIFT = TypeAdapter(Rebuild), TypeAdapter(Drift)


@dataclass(frozen=True, slots=True)
class RebuildStore:
    """Reads and writes one tenant's rebuilds. At most one rebuild is queued or running at a time."""

    table: TenantTable

    def get(self) -> Rebuild | None:
        item = self.table.get(usage_keys.rebuild())
        return _REBUILD.validate_python(item) if item else None

    def request(self, month: date, *, by: str, now: datetime, repeats: bool = False) -> Rebuild:
        """Queue a rebuild, or return an open rebuild of any month. With `repeats`, a running rebuild runs once more."""
        wanted = Rebuild(secrets.token_hex(6), month, "queued", now, by, now)
        for _ in range(3):
            standing = self.get()
            if standing is not None and is_alive(standing, now):
                if not repeats or standing.status == "queued" or self._repeat(standing):
                    return standing
                continue  # it has just ended
            condition, values = ("#id = :old", {"old": standing.id}) if standing else (NEW, {})
            try:
                item = _REBUILD.dump_python(wanted, mode="json")
                self.table.write(Put(usage_keys.rebuild(), item, condition, values))
            except ConditionFailed:
                continue  # another rebuild was requested concurrently
            return wanted
        return self.get() or wanted

    def _repeat(self, running: Rebuild) -> bool:
        values = {"id": running.id, "running": "running", "yes": True}
        update = Update(usage_keys.rebuild(), "SET #again = :yes", "#id = :id AND #status = :running", values)
        try:
            self.table.write(update)
        except ConditionFailed:
            return False
        return True

    def claim(self, rebuild_id: str, *, now: datetime) -> Rebuild | None:
        """Start a rebuild, or take it over. Return None if it is finished or was replaced by another rebuild."""
        values = {"id": rebuild_id, "running": "running", "now": format_time(now), "worker": secrets.token_hex(4)}
        values |= {"done": "succeeded"}
        write = Update(
            usage_keys.rebuild(),
            "SET #status = :running, #updated_at = :now, #worker = :worker REMOVE #again",
            "#id = :id AND #status <> :done",
            values,
        )
        try:
            return _REBUILD.validate_python(self.table.write(write))
        except ConditionFailed:
            return None

    def finish(self, rebuild: Rebuild, report: RebuildReport, *, now: datetime) -> Rebuild | None:
        """Store the report. Return None if another worker has taken the rebuild over, or if it must run again."""
        done = replace(rebuild, status="succeeded", updated_at=now, report=report)
        condition = "#id = :id AND #worker = :worker AND attribute_not_exists(#again)"
        try:
            item = _REBUILD.dump_python(done, mode="json")
            self.table.write(Put(usage_keys.rebuild(), item, condition, {"id": done.id, "worker": done.worker}))
        except ConditionFailed:
            return None
        return done

    def get_drift(self) -> Drift | None:
        item = self.table.get(usage_keys.drift())
        return _DRIFT.validate_python(item) if item else None

    def put_drift(self, drift: Drift) -> None:
        self.table.write(Put(usage_keys.drift(), _DRIFT.dump_python(drift, mode="json"), ANY))


def is_alive(rebuild: Rebuild, now: datetime) -> bool:
    """Return whether a rebuild is queued or running and was updated within `LAPSED_SECONDS`."""
    return rebuild.status != "succeeded" and now - rebuild.updated_at < timedelta(seconds=LAPSED_SECONDS)
