"""Runs requested rebuilds of counters. The table's stream delivers the requests (`atrium.quotas.rebuild`).

The function is idempotent: it skips a completed rebuild and continues an interrupted rebuild. Lambda retries a failed
batch and finally sends it to the dead-letter queue.
"""

from collections.abc import Mapping
from typing import Any

from atrium.bootstrap import Runtime, runtime
from atrium.http.logs import make_logger
from atrium.quotas.rebuild.running import run_rebuild
from atrium.storage import usage_keys
from atrium.storage.changes import read_change

logger = make_logger("rebuild")


def handler(event: dict[str, Any], _context: object) -> dict[str, int]:
    """Run each rebuild that the batch requests (Lambda entry point). Return the number of completed rebuilds."""
    return run_rebuilds(runtime(), event)


def run_rebuilds(source: Runtime, event: Mapping[str, Any]) -> dict[str, int]:
    """Run each rebuild that the batch requests. Return the number of completed rebuilds."""
    done = 0
    for record in event["Records"]:
        change = read_change(record)
        if change is None or change.key != usage_keys.rebuild() or change.kind == "REMOVE":
            continue
        item = change.item()
        if item["status"] != "queued":
            continue
        rebuilt = run_rebuild(source.tenant_table(change.tenant_id), source.clock, item["id"])
        done += rebuilt is not None
        report = rebuilt.report if rebuilt else None
        logger.info(
            "counters rebuilt" if report else "the rebuild is run by another invocation",
            tenant_id=change.tenant_id,
            rebuild_id=item["id"],
            entries=report.entries if report else None,
            counters=len(report.counters) if report else None,
            sums=report.sums if report else None,
        )
    return {"rebuilt": done}
