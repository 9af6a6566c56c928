"""A tenant's last rebuild and last comparison: one item each."""

import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any

from atrium.kernel.clock import format_time, parse_time
from atrium.kernel.errors import ConditionFailed
from atrium.quotas.rebuild.model import Difference, Drift, Rebuild, RebuildReport
from atrium.storage import usage_keys
from atrium.storage.table import TenantTable
from atrium.storage.writes import ANY, NEW, Put, Update

LAPSED_SECONDS = 1_200
"""A rebuild that has said nothing for so long is dead: a function runs 900 seconds at most."""


@dataclass(frozen=True, slots=True)
class RebuildStore:
    """One tenant's rebuilds: one at a time."""

    table: TenantTable

    def get(self) -> Rebuild | None:
        item = self.table.get(usage_keys.rebuild())
        return _read(item) if item else None

    def request(self, month: date, *, by: str, now: datetime) -> Rebuild:
        """Queue a rebuild; if one waits or runs, that is it, whatever month it is for."""
        return self._request(month, by=by, now=now, repeats=False)

    def require(self, month: date, *, by: str, now: datetime) -> Rebuild:
        """Queue a rebuild that sees what is there now: one that runs already is run once more at its end."""
        return self._request(month, by=by, now=now, repeats=True)

    def _request(self, month: date, *, by: str, now: datetime, repeats: bool) -> Rebuild:
        wanted = Rebuild(secrets.token_hex(6), month, "queued", now, by, now)
        for _ in range(3):
            standing = self.get()
            if standing is not None and is_alive(standing, now):
                if not repeats or standing.status == "queued" or self._repeat(standing):
                    return standing
                continue  # it ended at this moment
            condition, values = ("#id = :old", {"old": standing.id}) if standing else (NEW, {})
            try:
                self.table.write(Put(usage_keys.rebuild(), _item(wanted), condition, values))
            except ConditionFailed:
                continue  # somebody asked at the same time
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
        """Begin a rebuild, or take it over; None if it is done, or another one stands there."""
        values = {"id": rebuild_id, "running": "running", "now": format_time(now), "worker": secrets.token_hex(4)}
        values |= {"done": "succeeded"}
        write = Update(
            usage_keys.rebuild(),
            "SET #status = :running, #updated_at = :now, #worker = :worker REMOVE #again",
            "#id = :id AND #status <> :done",
            values,
        )
        try:
            return _read(self.table.write(write))
        except ConditionFailed:
            return None

    def finish(self, rebuild: Rebuild, report: RebuildReport, *, now: datetime) -> Rebuild | None:
        """Record what was done; None where somebody has taken the rebuild over, or it is to run once more."""
        done = replace(rebuild, status="succeeded", updated_at=now, report=report)
        condition = "#id = :id AND #worker = :worker AND attribute_not_exists(#again)"
        try:
            self.table.write(Put(usage_keys.rebuild(), _item(done), condition, {"id": done.id, "worker": done.worker}))
        except ConditionFailed:
            return None
        return done

    def get_drift(self) -> Drift | None:
        item = self.table.get(usage_keys.drift())
        if item is None:
            return None
        return Drift(
            parse_time(item["checked_at"]), item["entries"], _read_differences(item), item["sums"], item["uncounted"]
        )

    def put_drift(self, drift: Drift) -> None:
        item = {**asdict(drift), "checked_at": format_time(drift.checked_at), "counters": _rows(drift.counters)}
        self.table.write(Put(usage_keys.drift(), item, ANY))


def is_alive(rebuild: Rebuild, now: datetime) -> bool:
    """Tell whether a rebuild waits or runs."""
    return rebuild.status != "succeeded" and now - rebuild.updated_at < timedelta(seconds=LAPSED_SECONDS)


def _item(rebuild: Rebuild) -> dict[str, Any]:
    report = rebuild.report
    return {
        "id": rebuild.id,
        "month": rebuild.month.isoformat(),
        "status": rebuild.status,
        "requested_at": format_time(rebuild.requested_at),
        "requested_by": rebuild.requested_by,
        "updated_at": format_time(rebuild.updated_at),
        "worker": rebuild.worker,
        "report": {**asdict(report), "counters": _rows(report.counters)} if report else None,
    }


def _read(item: Mapping[str, Any]) -> Rebuild:
    report = item.get("report")
    return Rebuild(
        id=item["id"],
        month=date.fromisoformat(item["month"]),
        status=item["status"],
        requested_at=parse_time(item["requested_at"]),
        requested_by=item["requested_by"],
        updated_at=parse_time(item["updated_at"]),
        worker=item["worker"],
        report=RebuildReport(**{**report, "counters": _read_differences(report)}) if report else None,
    )


def _rows(differences: tuple[Difference, ...]) -> list[dict[str, Any]]:
    return [asdict(each) for each in differences]


def _read_differences(item: Mapping[str, Any]) -> tuple[Difference, ...]:
    return tuple(Difference(**row) for row in item["counters"])
