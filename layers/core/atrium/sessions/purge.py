"""Removing what belongs to a session: runs, their events, their blobs. Safe to repeat from the start."""

from typing import Any

from atrium.kernel.ids import RunId, SessionId
from atrium.runs.store import RunStore
from atrium.storage import keys
from atrium.storage.keys import Key
from atrium.storage.queries import Query

_REFERENCES = ("question_ref", "outcome_ref", "events_ref")
_PAGE = 50


def purge_runs(runs: RunStore, session_id: SessionId) -> None:
    """Delete a session's runs, each after its events; what a crash leaves, the next call removes."""
    partition = keys.session(session_id).partition
    while found := runs.table.query(Query(partition, prefix="RUN#", limit=_PAGE)).items:
        for item in found:
            _purge_partition(runs, keys.events(RunId(item["id"]), 0).partition)
        _remove(runs, partition, found)


def _purge_partition(runs: RunStore, partition: str) -> None:
    while found := runs.table.query(Query(partition, limit=_PAGE)).items:
        _remove(runs, partition, found)


def _remove(runs: RunStore, partition: str, items: list[dict[str, Any]]) -> None:
    for item in items:
        for name in _REFERENCES:
            if name in item:
                runs.blobs.delete(item[name])
    runs.table.delete_all([Key(partition, item["sk"]) for item in items])
