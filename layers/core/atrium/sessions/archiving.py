"""Archives the runs of idle sessions: moves their payloads from the table to segments in S3 (`atrium.runs.segments`).

A session is idle if its place in the tenant's list of sessions is old (`gsi2`, by last activity). The archiver reads
this list from the oldest to the newest place and stores how far it came, so a turn writes nothing for it. A turn in an
archived session moves the session's place, so the archiver finds the session again. Only ended runs are archived. They
no longer change, so a turn may start at any time.

    plan      Read the newest runs of a few sessions. Runs older than an archived run are archived.
    note      Write the moves, and the position after them, to the tenant's `ARCHIVE` item.
    move      Write the segment, then replace the payloads of each run by its reference.
    clean     Delete the segments of the move that no run refers to.

Invariants:

- A payload is removed from the table after the segment that contains it is stored. The name of a segment is the hash of
  its content, so two archivers that move the same runs write the same segment.
- The moves that are noted are finished before anything else is planned. A segment that was written by an archiver that
  was killed is therefore either used or deleted.
- A segment with few runs is merged into the next segment of its session. Each segment but the last of a session thus
  has `MERGED_RUNS_MAX` runs or is full, and a turn reads few segments.
- The deletion of a session marks it before it reads its runs (`purge`). `clean` reads this mark after the runs were
  moved, so a segment is deleted by one of the two.

Cost of a session with n runs: one write unit per kB of each run and one PUT request; per batch of sessions two writes.
A tenant without idle sessions costs two reads.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import timedelta
from secrets import token_hex
from typing import Any

from atrium.kernel.clock import Clock, format_time
from atrium.kernel.errors import AtriumError, ConditionFailed
from atrium.kernel.ids import SessionId, TenantId
from atrium.kernel.pagination import Page, PageRequest, Position
from atrium.runs.items import SEGMENT
from atrium.runs.segments import (
    CONTENT_TYPE,
    SEGMENT_BYTES_MAX,
    Item,
    archived_attributes,
    encode_segment,
    payloads_of,
    segment_reference,
)
from atrium.runs.store import RunStore
from atrium.sessions.store import LISTED_INTERVAL, read_session
from atrium.storage import keys, platform_keys
from atrium.storage.blobs import BlobGone
from atrium.storage.keys import Key
from atrium.storage.table import PlatformTable, Query
from atrium.storage.writes import ANY, NEW, Put, Update
from atrium.tenants.registry import TenantRegistry

MERGED_RUNS_MAX = 16
_SESSIONS = 20
_RUNS = 50
_BATCH_BYTES = 2_000_000
_TENANTS = 20
_MOVABLE = f"attribute_exists(#ended_at) AND (attribute_not_exists(#{SEGMENT}) OR #{SEGMENT} IN (:old, :new))"


@dataclass(frozen=True, slots=True)
class Move:
    """The runs of a session that go into one segment: those from the sort key `first` to `last`.

    `replaced` is the segment of the oldest of these runs, if it is merged into the new segment, or "".
    """

    session_id: SessionId
    reference: str
    first: str
    last: str
    replaced: str = ""

    @property
    def runs(self) -> Query:
        return Query(keys.session(self.session_id).partition, between=(self.first, self.last), limit=_RUNS)


@dataclass(frozen=True, slots=True)
class PlannedMove:
    """A move with the content of its segment and the changes of its runs, of which `fresh` are not archived yet."""

    move: Move
    segment: bytes
    changes: Sequence[Update]
    fresh: int


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the sessions of a tenant are archived: all sessions whose place in the list is at most `through`.

    Of `session`, if not "", only the runs from the sort key `before` on are archived. The moves in `pending` may be
    unfinished. `mark` changes with each write.
    """

    through: str = ""
    session: str = ""
    before: str = ""
    pending: tuple[Move, ...] = ()
    mark: str = ""

    @classmethod
    def read(cls, item: Mapping[str, Any]) -> "Progress":
        pending = tuple(Move(**move) for move in item.get("pending", ()))
        return cls(item.get("through", ""), item.get("session", ""), item.get("before", ""), pending, item["mark"])


@dataclass(frozen=True, slots=True)
class Archived:
    """The numbers of archived runs and written segments, the bytes of these segments, and whether none is left."""

    runs: int = 0
    segments: int = 0
    bytes: int = 0
    is_done: bool = True


@dataclass(slots=True)
class _Batch:
    """Collects planned moves, and the progress after them."""

    progress: Progress
    moves: list[PlannedMove] = field(default_factory=list)

    @property
    def is_full(self) -> bool:
        return sum(len(each.segment) for each in self.moves) >= _BATCH_BYTES


@dataclass(frozen=True, slots=True)
class SessionArchiver:
    """Archives the sessions of one tenant that have been idle for `idle`.

    `on_failure` is called for a session that cannot be archived. Its runs stay in the table.
    """

    runs: RunStore
    clock: Clock
    idle: timedelta
    on_failure: Callable[[SessionId, Exception], None]

    def step(self) -> Archived:
        """Archive a few sessions. Several archivers may run at the same time."""
        found = self.runs.table.batch_get([keys.tenant(), keys.archive()])
        if found.get(keys.tenant(), {}).get("status", "deleted") == "deleted":
            return Archived()
        progress = Progress.read(found[keys.archive()]) if keys.archive() in found else Progress()
        for move in progress.pending:
            self._finish(move)
        batch, is_done = self._plan(replace(progress, pending=()))
        if batch.progress == progress:
            return Archived()
        moves = batch.moves
        try:
            noted = self._save(replace(batch.progress, pending=tuple(each.move for each in moves)))
            for each in moves:
                self._move(each)
            if moves:
                self._save(replace(noted, pending=()))
        except ConditionFailed:  # another archiver works on this tenant; it finishes the moves that are noted
            return Archived()
        size = sum(len(each.segment) for each in moves)
        return Archived(sum(each.fresh for each in moves), len(moves), size, is_done)

    def _save(self, progress: Progress) -> Progress:
        """Write the progress if no other archiver wrote it. A lost reply is recognised."""
        saved = replace(progress, mark=token_hex(8))
        item = {**asdict(saved), "pending": [asdict(move) for move in saved.pending]}
        values = {"before": progress.mark, "mark": saved.mark}
        self.runs.table.write(Put(keys.archive(), item, f"{NEW} OR #mark IN (:before, :mark)", values))
        return saved

    def _plan(self, progress: Progress) -> tuple[_Batch, bool]:
        """Plan the moves of the next sessions. Return them, and whether no idle session follows."""
        batch, idle_since = _Batch(progress), format_time(self.clock() - self.idle - LISTED_INTERVAL)
        if progress.session:
            self._plan_session(batch, SessionId(progress.session))
        idle = (f"{progress.through}\0", idle_since)
        listed = Query(keys.all_sessions(), index="gsi2", between=idle, limit=_SESSIONS)
        page = self.runs.table.query(listed) if progress.through < idle_since else Page([], None)
        for item in page.items:
            if batch.is_full or batch.progress.session:
                return batch, False
            place: str = item["gsi2sk"]
            batch.progress = replace(batch.progress, through=place)
            self._plan_session(batch, SessionId(place.partition("#")[2]))
        return batch, page.position is None and not batch.progress.session

    def _plan_session(self, batch: _Batch, session_id: SessionId) -> None:
        """Plan the moves of a session's runs until the batch is full. If this fails, the session is skipped."""
        before, moves = batch.progress.before, len(batch.moves)
        try:
            while not batch.is_full:
                before = self._plan_page(batch, session_id, before)
                if not before:
                    break
        except AtriumError:
            raise
        except Exception as error:  # noqa: BLE001 - unreadable content must not stop the other sessions
            del batch.moves[moves:]
            self.on_failure(session_id, error)
            before = ""
        batch.progress = replace(batch.progress, session=session_id if before else "", before=before)

    def _plan_page(self, batch: _Batch, session_id: SessionId, before: str) -> str:
        """Plan the moves of one page of runs. Return the sort key from which older runs follow, or ""."""
        partition = keys.session(session_id).partition
        position = {"pk": partition, "sk": before} if before else None
        query = Query(partition, prefix="RUN#", newest_first=True, limit=_RUNS, position=position)
        page = self.runs.table.query(query)
        items = page.items[::-1]
        archived = [at for at, item in enumerate(items) if SEGMENT in item]
        fresh = [item for item in items[archived[-1] + 1 if archived else 0 :] if _is_movable(item)]
        if fresh:
            merged = self._mergeable(items, fresh, is_whole=page.position is None)
            for part in _split([*merged, *fresh]):
                batch.moves.append(_planned(session_id, part, part[0].get(SEGMENT, "")))
        return page.position["sk"] if page.position and not archived else ""

    def _mergeable(self, items: Sequence[Item], fresh: Sequence[Item], *, is_whole: bool) -> list[Item]:
        """Return the runs of the newest segment, with payloads, if the segment is small and the fresh runs fit."""
        archived = [item for item in items if SEGMENT in item]
        group = [item for item in archived if item[SEGMENT] == archived[-1][SEGMENT]]
        is_visible = is_whole or (group and group[0] is not items[0])
        if not is_visible or len(group) >= MERGED_RUNS_MAX:
            return []
        last: dict[str, Any] = {}
        restored = [self.runs.restored(item, last) for item in group]
        return restored if sum(map(_size, restored)) + _size(fresh[0]) <= SEGMENT_BYTES_MAX else []

    def _finish(self, move: Move) -> None:
        """Finish a move that was noted. If its runs no longer make the same segment, they are being deleted."""
        last: dict[str, Any] = {}
        items = (item for item in self.runs.table.query_all(move.runs) if _is_movable(item))
        with suppress(BlobGone):
            restored = [self.runs.restored(item, last) for item in items]
            if restored and (planned := _planned(move.session_id, restored, move.replaced)).move == move:
                self._move(planned)
                return
        self._clean(move)

    def _move(self, planned: PlannedMove) -> None:
        """Write the segment and refer to it in the items of its runs. Idempotent."""
        move, table = planned.move, self.runs.table
        self.runs.blobs.put(move.reference, planned.segment, content_type=CONTENT_TYPE)
        for change in planned.changes:
            with suppress(ConditionFailed):  # the run was deleted, or another archiver has moved it
                table.write(change)
        self._clean(move)

    def _clean(self, move: Move) -> None:
        """Delete the segments of a move to which no run refers, or whose session is being deleted."""
        used = {item.get(SEGMENT) for item in self.runs.table.query_all(replace(move.runs, attributes=(SEGMENT,)))}
        head = self.runs.table.get(keys.session(move.session_id))
        if head is None or read_session(head).is_purged:
            used = set()
        for reference in {move.reference, move.replaced} - used - {""}:
            self.runs.blobs.delete(reference)


def _is_movable(item: Item) -> bool:
    return "ended_at" in item and bool(SEGMENT in item or payloads_of(item))


def _size(item: Item) -> int:
    return sum(map(len, payloads_of(item).values()))


def _split(items: Sequence[Item]) -> list[list[Item]]:
    """Split runs into the runs of segments."""
    parts: list[list[Item]] = [[]]
    size = 0
    for item in items:
        size += _size(item)
        if parts[-1] and size > SEGMENT_BYTES_MAX:
            parts.append([])
            size = _size(item)
        parts[-1].append(item)
    return parts


def _planned(session_id: SessionId, items: Sequence[Item], replaced: str) -> PlannedMove:
    """Plan the move of runs, oldest first, whose items contain their payloads."""
    segment = encode_segment(items)
    reference = segment_reference(session_id, segment)
    move = Move(session_id, reference, items[0]["sk"], items[-1]["sk"], replaced)
    partition, changes = keys.session(session_id).partition, []
    for item in items:
        attributes = archived_attributes(item, reference)
        expression = "SET " + ", ".join(f"#{name} = :{name}" for name in attributes) + " REMOVE #question, #outcome"
        values = {**attributes, "old": replaced, "new": reference}
        changes.append(Update(Key(partition, item["sk"]), expression, _MOVABLE, values, returns=False))
    return PlannedMove(move, segment, changes, sum(SEGMENT not in item for item in items))


@dataclass(frozen=True, slots=True)
class ArchiveReport:
    """The results of one invocation: runs archived, segments written and their bytes, and tenants that failed."""

    runs: int = 0
    segments: int = 0
    bytes: int = 0
    failed: int = 0


@dataclass(frozen=True, slots=True)
class ArchiveRound:
    """Archives the idle sessions of all tenants, a few sessions of each tenant in turn."""

    platform: PlatformTable
    archiver_for: Callable[[TenantId], SessionArchiver]
    on_failure: Callable[[TenantId, Exception], None]

    def run(self, has_time: Callable[[], bool]) -> ArchiveReport:
        """Continue after the last tenant of the previous invocation, until no tenant has work or the time is up."""
        begun: Position | None = (self.platform.get(platform_keys.archive_round()) or {}).get("position")
        position, report, is_left = begun, ArchiveReport(), True
        registry = TenantRegistry(self.platform)
        while is_left and has_time():
            is_left = position is not None  # the tenants before the first position are not visited yet
            while has_time():
                page = registry.list(PageRequest(_TENANTS, position))
                for tenant_id in page.items:
                    if not has_time():
                        break
                    report, is_done = self._archive(tenant_id, report)
                    is_left = is_left or not is_done
                    position = _position_of(tenant_id)
                else:
                    position = page.position
                if position is None:
                    break
        if position != begun:
            self.platform.write(Put(platform_keys.archive_round(), {"position": position}, ANY))
        return report

    def _archive(self, tenant_id: TenantId, report: ArchiveReport) -> tuple[ArchiveReport, bool]:
        try:
            step = self.archiver_for(tenant_id).step()
        except Exception as error:  # noqa: BLE001 - one tenant must not stop the others
            self.on_failure(tenant_id, error)
            return replace(report, failed=report.failed + 1), True
        runs, segments, size = report.runs + step.runs, report.segments + step.segments, report.bytes + step.bytes
        return ArchiveReport(runs, segments, size, report.failed), step.is_done


def _position_of(tenant_id: TenantId) -> Position:
    key = platform_keys.registered_tenant(tenant_id)
    return {"pk": key.partition, "sk": key.sort}
