"""Removes the data of a session: runs, their events and their blobs. The removal can be repeated after a crash.

Blobs are deleted before the item that refers to them, and events before their run. A repeated call can therefore find
the remaining data. The session's item is deleted last. Until then it is in the sweep index.
"""

from datetime import datetime
from typing import Any

from atrium.kernel.ids import RunId, SessionId
from atrium.runs.items import SEGMENT, references
from atrium.runs.store import RunStore
from atrium.sessions.store import SessionStore
from atrium.storage import keys
from atrium.storage.keys import Key
from atrium.storage.table import Query

_PAGE = 50


def purge_session(sessions: SessionStore, runs: RunStore, session_id: SessionId) -> None:
    """Remove a session that was marked for this (`SessionStore.mark_deleted`)."""
    purge_runs(runs, session_id)
    sessions.remove(session_id)


def purge_due(sessions: SessionStore, runs: RunStore, session_id: SessionId, *, now: datetime) -> bool:
    """Remove a session whose entry in the sweep index is due. Return False if the session stays.

    The entry may be outdated, because the index is eventually consistent. Without a session, the entry is that of an
    interrupted fork, of which only runs exist.
    """
    session = sessions.get(session_id, with_deleted=True)
    if session is not None and not session.is_deleted:
        sessions.unmark_fork(session_id)
        return False
    if session is not None and not sessions.mark_deleted(session_id, now=now, is_due=True):
        return False
    purge_session(sessions, runs, session_id)
    return True


def purge_runs(runs: RunStore, session_id: SessionId) -> None:
    """Delete all runs of a session with their events and blobs.

    The session was marked before. An archiver that moves a run after this function has read the run sees the mark and
    deletes the segment (`atrium.sessions.archiving`).
    """
    partition = keys.session(session_id).partition
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
