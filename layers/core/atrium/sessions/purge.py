"""Deletes the data of a session: runs, their events and their blobs. The deletion can be repeated after a crash.

Blobs are deleted before the item that refers to them, and events before their run. A repeated call can therefore find
the remaining data.
"""

from contextlib import suppress
from typing import Any

from atrium.kernel.errors import ConditionFailed
from atrium.kernel.ids import RunId, SessionId
from atrium.runs.items import SEGMENT, references
from atrium.runs.store import RunStore
from atrium.storage import keys
from atrium.storage.keys import Key
from atrium.storage.table import Query
from atrium.storage.writes import EXISTS, Update

_PAGE = 50
PURGED = "purged"
"""The attribute of a session whose runs are being deleted."""


def purge_runs(runs: RunStore, session_id: SessionId) -> None:
    """Delete all runs of a session with their events and blobs.

    The session is marked first. An archiver that moves a run after this function has read the run sees the mark and
    deletes the segment (`atrium.sessions.archiving`).
    """
    head = keys.session(session_id)
    with suppress(ConditionFailed):  # the session does not exist
        runs.table.write(Update(head, f"SET #{PURGED} = :yes", EXISTS, {"yes": True}, returns=False))
    partition = head.partition
    while found := runs.table.query(Query(partition, prefix="RUN#", limit=_PAGE)).items:
        for item in found:
            _purge_events(runs, RunId(item["id"]))
        _remove(runs, partition, found)


def purge_run(runs: RunStore, run_id: RunId) -> None:
    """Delete one run with its events and blobs. Does nothing if the run does not exist.

    An archived run is not deleted, because it shares its segment with other runs. It is deleted with its session.
    """
    _purge_events(runs, run_id)
    key = keys.run(run_id)
    item = runs.table.get(key)
    if item is not None and SEGMENT not in item:
        _remove(runs, key.partition, [item])


def _purge_events(runs: RunStore, run_id: RunId) -> None:
    partition = keys.events(run_id, 0).partition
    while found := runs.table.query(Query(partition, limit=_PAGE)).items:
        _remove(runs, partition, found)


def _remove(runs: RunStore, partition: str, items: list[dict[str, Any]]) -> None:
    for reference in dict.fromkeys(reference for item in items for reference in references(item)):
        runs.blobs.delete(reference)
    runs.table.delete_all([Key(partition, item["sk"]) for item in items])
