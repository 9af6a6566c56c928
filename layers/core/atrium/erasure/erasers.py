"""Erases a tenant's partitions and blobs.

`tests/unit/erasure/test_shapes.py` checks that items of all types are erased.
"""

from datetime import UTC, date, timedelta
from typing import Any

from atrium.erasure.model import PAGE, Eraser, Step, Target, erase_page, erase_whole
from atrium.identity.login.throttles import Throttles
from atrium.identity.providers.store import IssuerRegistry
from atrium.identity.users.model import same_address
from atrium.kernel.ids import RunId, SessionId
from atrium.kernel.pagination import Position
from atrium.runs.store import RunStore
from atrium.storage import keys, provider_keys, usage_keys
from atrium.storage.keys import Key
from atrium.storage.table import Index, Query

_SESSIONS = 20
_DAYS = 30
_MARGIN = timedelta(days=1)
"""Time before the creation of the tenant from which days are erased, because clocks differ."""
_HEAD, _FORK = keys.session(SessionId("-")).sort, keys.fork(SessionId("-")).sort
_USER, _ISSUER = "USER#", provider_keys.provider_issuer("").sort


def erase_root(target: Target, position: Position | None) -> Step:
    """Erase the tenant's main partition, except the tombstone and the monthly totals.

    Also erase the platform items that belong to the tenant: issuer registrations and login throttles.
    """
    page = target.table.query(Query("", limit=PAGE, position=position))
    found = [item for item in page.items if not _stays(item["sk"])]
    pairs = [item["sk"].removeprefix(_ISSUER) for item in found if item["sk"].startswith(_ISSUER)]
    IssuerRegistry(target.platform).release_all(target.tenant.id, pairs)
    throttles = Throttles(target.platform, lambda: target.now)
    for user in found:
        if user["sk"].startswith(_USER):
            throttles.forget(same_address(user["email"]), user["id"], target.tenant.id)
    target.table.delete_all([Key("", item["sk"]) for item in found])
    return Step(len(found), position=page.position, is_done=page.position is None)


def _stays(sort: str) -> bool:
    return sort == keys.tenant().sort or sort.startswith(keys.MONTH_TOTALS)


def erase_admissions(target: Target, _position: Position | None) -> Step:
    """Erase the admission items, which contain limits and slots.

    The first pass skips the items if there is a slot, because the sweeper finds an open run by its slot.
    """
    page = target.table.query(Query(keys.admissions(), limit=PAGE))
    if not target.may_take_all and any(item.get("slots") or item.get("late") for item in page.items):
        return Step(waits=True)
    target.table.delete_all([Key(keys.admissions(), item["sk"]) for item in page.items])
    return Step(len(page.items), is_done=page.position is None)


def erase_issued(target: Target, position: Position | None) -> Step:
    """Erase token families, OAuth codes and markers of revoked tokens, which are listed in gsi1."""
    page = target.table.query_keys(Query(keys.issued(), index="gsi1", limit=PAGE, position=position))
    target.table.delete_all(page.items)
    return Step(len(page.items), position=page.position, is_done=page.position is None)


def eraser_of_sessions(listed: str, index: Index = "gsi2") -> Eraser:
    """Return an eraser of the sessions in an index partition, which contains session items or their runs."""

    def erase(target: Target, position: Position | None) -> Step:
        query = Query(listed, index=index, limit=_SESSIONS, position=position)
        page = target.table.query_keys(query)
        items, waits = 0, False
        for partition in dict.fromkeys(key.partition for key in page.items):
            removed, is_over, in_use = _erase_session(target, partition)
            items, waits = items + removed, waits or in_use
            if not is_over or items >= PAGE:
                return Step(items, position=position, is_done=False, waits=waits)
        return Step(items, position=page.position, is_done=page.position is None, waits=waits)

    return erase


def _erase_session(target: Target, partition: str) -> tuple[int, bool, bool]:
    """Erase the first runs of a session and their events.

    Returns the number of erased items, whether the session needs no further step in this pass, and whether a run is
    open. The session's item is deleted last, and only if no run is open. The marker of a fork stays until the last
    pass, because the fork may still write runs.
    """
    runs = RunStore(target.table, target.blobs)
    page = target.table.query(Query(partition, prefix="RUN#", limit=PAGE))
    items, ended = 0, []
    for item in page.items:
        if not target.may_take_all and _is_open(item):
            runs.request_cancel(RunId(item["id"]))
            continue
        items += erase_whole(target.table, keys.events(RunId(item["id"]), 0).partition)
        ended.append(Key(partition, item["sk"]))
    target.table.delete_all(ended)
    items += len(ended)
    if page.position is not None and ended:
        return items, False, False
    if len(ended) < len(page.items):
        return items, True, True
    last = [_HEAD, _FORK] if target.may_take_all else [_HEAD]
    target.table.delete_all([Key(partition, sort) for sort in last])
    return items + 1, True, False


def _is_open(item: dict[str, Any]) -> bool:
    return "ended_at" not in item


def erase_days(target: Target, position: Position | None) -> Step:
    """Erase usage aggregates, the list of counted sessions and the audit, day by day."""
    day = date.fromisoformat(position["day"]) if position else target.tenant.created_at.astimezone(UTC).date() - _MARGIN
    items, last = 0, target.now.astimezone(UTC).date() + _MARGIN
    for _ in range(_DAYS):
        if day > last:
            return Step(items)
        text = day.isoformat()
        for partition in (usage_keys.usage_day(text), keys.begun_day(text), keys.audit_day(day)):
            removed, is_over = erase_page(target.table, partition)
            items += removed
            if not is_over:
                return Step(items, position={"day": text}, is_done=False)
        day += _MARGIN
    return Step(items, position={"day": day.isoformat()}, is_done=False)


def erase_blobs(target: Target, _position: Position | None) -> Step:
    """Erase the blobs with all their versions.

    The first pass skips the blobs if a run is open, because the run may need its blobs.
    """
    if target.waits and not target.may_take_all:
        return Step()
    blobs, is_done = target.blobs.erase_some()
    return Step(blobs=blobs, is_done=is_done)
