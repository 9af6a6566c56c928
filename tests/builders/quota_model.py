"""A model of all operations on a tenant's admission items, compared with the real `QuotaService`.

The workers of `tests.builders.quota_workers` run the operations on a table in memory. `tests.builders.quota_ledger`
checks each write.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from atrium.kernel.errors import Unavailable
from atrium.kernel.ids import RunId, SessionId
from atrium.quotas.limits import BUCKETS, DEFINITIONS
from atrium.quotas.model import (
    TENANT,
    UNLIMITED,
    AdmissionRequest,
    Admitted,
    Estimate,
    Extended,
    LimitName,
    Recorded,
    Rejected,
    Reservation,
    ScopeLimits,
    Slot,
    Used,
    slot_name,
)
from atrium.quotas.service import QuotaService
from atrium.storage import keys
from atrium.storage.writes import NEW, Put

from tests.builders.quota_ledger import Worker, slots_of, used_of
from tests.builders.quota_workers import AGENT, KEY, SCOPES, Step, Workers

LIMITED: Sequence[LimitName] = (
    "requests_per_minute", "tokens_per_minute", "requests_per_day", "sessions_per_day",
    "tokens_per_month", "cost_per_month", "concurrent_turns",
)  # fmt: skip
FIGURES: Mapping[LimitName, Sequence[int]] = {
    "requests_per_minute": (UNLIMITED, 0, 1, 3, 6),
    "tokens_per_minute": (UNLIMITED, 0, 90, 200, 500),
    "requests_per_day": (UNLIMITED, 0, 2, 5, 30),
    "sessions_per_day": (UNLIMITED, 0, 1, 3, 9),
    "tokens_per_month": (UNLIMITED, 0, 100, 400, 2_000),
    "cost_per_month": (UNLIMITED, 0, 100, 400, 2_000),
    "concurrent_turns": (UNLIMITED, 0, 1, 2, 4),
}
WAITS = (0.1, 0.4, 1.0, 2.0, 15.0, 31.0, 58.0, 60.0, 62.0, 130.0, 3_600.0, 86_400.0)
GRACE_SECONDS = 60


@dataclass
class Turn:
    """The state of one run. `entry` is the usage in the first ledger entry, which is never replaced."""

    run_id: RunId
    request: AdmissionRequest
    scopes: tuple[ScopeLimits, ...]
    retried_until: datetime  # a worker repeats an admission within seconds, before the sweeper can undo it
    state: Literal["asking", "open", "ended", "over"] = "asking"
    reservation: Reservation | None = None
    used: Used = field(default_factory=lambda: Used(0, 0))
    entry: Used | None = None
    asking: int = 0
    ending: bool = False
    has_begun: bool = False

    @property
    def name(self) -> str:
        return slot_name(self.run_id)


class World(Workers):
    """The runs, the current limits, and the operations of the workers."""

    def __init__(self, start: datetime = datetime(2026, 11, 21, 12, tzinfo=UTC)) -> None:
        super().__init__(start)
        self.limits: dict[str, dict[LimitName, int]] = {TENANT: {"concurrent_turns": 3}}
        self.turns: list[Turn] = []
        self.sessions = 0

    def take(self, step: Step) -> None:
        match step.kind:
            case "wait":
                self.now += timedelta(seconds=WAITS[step.amount % len(WAITS)])
            case "limit":
                self._change_limit(step)
            case "go":
                if self.flying:
                    self.advance(self.flying[step.pick % len(self.flying)], step.fate)
            case "admit":
                self._admit(self._new_turn(step), step)
            case "session":
                self._record_session(step)
            case "sweep":
                self._sweep(step)
            case _:
                self._act(step)

    def _act(self, step: Step) -> None:
        """Start the operation of a step for one of the turns whose state allows the operation."""
        wanted = {"admit again": "asking"}.get(step.kind, "open")
        turns = [turn for turn in self.turns if turn.state == wanted and not turn.ending and not turn.asking]
        if step.kind == "admit again":
            turns = [turn for turn in turns if self.now < turn.retried_until]
        if not turns:
            return
        turn = turns[step.pick % len(turns)]
        match step.kind:
            case "admit again":
                self._admit(turn, step)
            case "extend":
                self._extend(turn, step)
            case "renew":
                held = turn.reservation
                assert held is not None
                self.start("renew", lambda service: service.renew_lease(held), step)
            case "settle":
                self.settle(turn, step)
            case "release" if turn.reservation is not None and not turn.has_begun:
                turn.ending = True
                reservation = turn.reservation
                self.start("release", lambda service: self._release(service, turn, reservation), step)

    def _release(self, service: QuotaService, turn: Turn, reservation: Reservation) -> None:
        service.release(reservation)
        turn.state = "over"

    def scopes(self, pick: int) -> tuple[ScopeLimits, ...]:
        wanted = [each for at, each in enumerate((KEY, AGENT)) if pick >> at & 1 and each in self.limits]
        return tuple(ScopeLimits(SCOPES[each], dict(self.limits[each]), each) for each in [*wanted, TENANT])

    def _change_limit(self, step: Step) -> None:
        scope_id = list(SCOPES)[step.pick % len(SCOPES)]
        if step.amount % 9 == 8 and scope_id != TENANT:
            self.limits.pop(scope_id, None)
            return
        name = LIMITED[step.amount % len(LIMITED)]
        self.limits.setdefault(scope_id, {})[name] = FIGURES[name][step.skew % len(FIGURES[name])]

    def _new_turn(self, step: Step) -> Turn:
        number = len(self.turns) + 1
        run_id = RunId(f"run_{number:026d}{number:026d}")
        tokens = step.amount % 100
        estimate = Estimate(tokens // 4, tokens // 4, tokens - tokens // 4, 1) if step.pick & 4 else None
        request = AdmissionRequest(run_id, tokens, tokens, bool(step.pick & 8), estimate)
        self.turns.append(Turn(run_id, request, self.scopes(step.pick), self.now + timedelta(seconds=GRACE_SECONDS)))
        return self.turns[-1]

    def _admit(self, turn: Turn, step: Step) -> None:
        turn.scopes = tuple(
            ScopeLimits(each.scope, dict(self.limits.get(each.id, {})), each.id) for each in turn.scopes
        )
        before = dict(self.table.items)
        held = any(turn.name in slots_of(item) for item in before.values() if "slots" in item)
        is_alone = not self.flying and not held  # a rejection also releases the slot of an earlier attempt
        worker = self.start("admit", lambda service: self._asked(service, turn), step, turn.scopes)
        if isinstance(worker.answer, Rejected) and is_alone and step.whole:
            assert self.table.items == before, "a rejection wrote something"
            assert not worker.writes
            self.check_rejection(worker, turn)

    def _asked(self, service: QuotaService, turn: Turn) -> Any:
        turn.asking += 1
        try:
            answer = service.admit(turn.request, turn.scopes, service.read(turn.scopes))
        finally:
            turn.asking -= 1
        if isinstance(answer, Admitted):
            turn.state, turn.reservation = "open", answer.reservation
            least = turn.request.estimate.least.tokens if turn.request.estimate else turn.request.tokens
            assert all(least <= slot.tokens <= turn.request.tokens for slot in answer.reservation.slots.values())
        else:
            turn.state = "over"
            for scope in turn.scopes:
                here = slots_of(self.table.items.get(keys.admission(scope.id), {}))
                assert turn.name not in here or self.at_work is None or self.at_work.faults
        return answer

    def check_rejection(self, worker: Worker, turn: Turn) -> None:
        """Assert that a limit was reached according to the model."""
        least = turn.request.lowered(-1, -1)
        for scope in turn.scopes:
            item = self.table.items.get(keys.admission(scope.id), {"at": int(worker.now()), "slots": {}, "late": {}})
            at = max(item["at"], int(worker.now()))
            first, book = at - BUCKETS, self.books[scope.id]
            day = DEFINITIONS["requests_per_day"].counter
            living = sum(Slot.parse(text).lease_until >= worker.now() for text in item["slots"].values())
            amounts: dict[LimitName, tuple[int, int]] = {
                "requests_per_minute": (
                    sum(each.state != "undone" for each in book.stays if each.slot.admitted > first), 1
                ),
                "tokens_per_minute": (
                    sum(tokens for each in book.stays for second, tokens in each.calls if second > first),
                    least.tokens,
                ),
                "concurrent_turns": (living, 1),
                "requests_per_day": (
                    sum(each.state != "undone" for each in book.stays if day(each.slot.admitted) == day(at)), 1
                ),
                "sessions_per_day": (used_of(item, "sessions_per_day", at), int(turn.request.new_session)),
                "tokens_per_month": (used_of(item, "tokens_per_month", at), least.tokens),
                "cost_per_month": (used_of(item, "cost_per_month", at), least.cost_nanos),
            }  # fmt: skip
            for name, (used, amount) in amounts.items():
                limit = scope.maximum(name)
                if amount and limit != UNLIMITED and used + amount > limit:
                    return
        raise AssertionError(f"rejected though there was room: {worker.answer}")

    def _extend(self, turn: Turn, step: Step) -> None:
        reservation = turn.reservation
        assert reservation is not None
        own = reservation.own
        used = Used(
            own.past_tokens + own.tokens * (step.pick % 5) // 4,
            own.past_cost_nanos + own.cost_nanos * (step.pick % 5) // 4,
        )
        tokens = step.amount % 100
        estimate = Estimate(tokens // 4, tokens // 4, tokens - tokens // 4, 1) if step.pick & 4 else None
        request = AdmissionRequest(turn.run_id, tokens, tokens, estimate=estimate)
        turn.used, turn.has_begun = used, True

        def act(service: QuotaService) -> Any:
            turn.asking += 1
            try:
                answer = service.extend(reservation, used, request, turn.scopes)
            except Unavailable:
                answer = service.extend(reservation, used, request, turn.scopes)  # repeat the call whose reply was lost
            finally:
                turn.asking -= 1
            if isinstance(answer, Extended):
                turn.reservation = answer.reservation
            else:
                turn.state = "ended"
            return answer

        self.start("extend", act, step, turn.scopes, used=used)

    def settle(self, turn: Turn, step: Step) -> None:
        """End a run: store its first ledger entry, and settle its slots to this entry."""
        reservation = turn.reservation
        assert reservation is not None
        turn.ending = True
        if turn.entry is None:
            own = reservation.own
            part = step.amount % 7  # in one of seven cases the usage exceeds the reservation
            turn.entry = Used(
                max(turn.used.tokens, own.past_tokens + own.tokens * part // 5),
                max(turn.used.cost_nanos, own.past_cost_nanos + own.cost_nanos * part // 5),
            )

        def act(service: QuotaService) -> Any:
            assert turn.entry is not None
            settled = service.settle(reservation, turn.entry)
            turn.state = "over"
            assert not service.settle(reservation, turn.entry)
            return settled

        self.start("settle", act, step, used=turn.entry)

    def _record_session(self, step: Step) -> None:
        self.sessions += 1
        session_id = SessionId(f"ses_{self.sessions:026d}")
        record = Put(keys.session(session_id), {"id": session_id}, NEW)
        scopes = self.scopes(step.pick)

        def act(service: QuotaService) -> Any:
            answer = service.record_session(session_id, record, scopes, service.read(scopes))
            assert isinstance(answer, Recorded) is (keys.session(session_id) in self.table.items)
            return answer

        self.start("session", act, step, scopes=scopes)

    def _sweep(self, step: Step) -> None:
        """Run the sweeper. It settles an expired slot to the ledger entry, to the slot's reservation, or to zero."""

        def find(name: str) -> Turn:
            return next(turn for turn in self.turns if turn.name == name)

        def act(service: QuotaService) -> Any:
            for scope_id, item in service.store.list().items():
                for name in {**item.slots, **item.late}:
                    slot = item.find(name)
                    assert slot is not None
                    if slot.lease_until >= item.now:
                        continue
                    turn = find(name)
                    if turn.reservation is None or (turn.ending and turn.entry is None):
                        if slot.lease_until + GRACE_SECONDS < item.now and not turn.asking:
                            service.settle_slot(scope_id, name, slot, Used(0, 0), undone=True)
                        continue
                    found = service.find(turn.reservation) or turn.reservation
                    if turn.entry is None:
                        turn.entry = Used(found.own.tokens_in_all, found.own.cost_in_all_nanos)
                    turn.state, turn.ending = "over", True
                    service.settle_slot(scope_id, name, slot, turn.entry)

        self.start("sweep", act, step, used_of=lambda name: find(name).entry)

    def end(self) -> None:
        """Finish all workers and runs, and check that the counters contain only settled usage."""
        while self.flying:
            self.finish(self.flying[0])
        for turn in self.turns:
            is_undone = turn.ending and turn.entry is None
            if turn.reservation is not None and turn.state in {"open", "ended"} and not is_undone:
                self.settle(turn, Step("settle", amount=3))
        for _ in range(2):
            self.now += timedelta(seconds=200)
            self._sweep(Step("sweep"))
        for scope_id, book in self.books.items():
            item = self.table.items.get(keys.admission(scope_id), {})
            assert not slots_of(item), item
            for stay in book.stays:
                assert stay.state != "open"
            if item:
                book.check(item)


def run(steps: Sequence[Step], start: datetime = datetime(2026, 11, 21, 12, tzinfo=UTC)) -> World:
    """Run the steps in a new world, check the final state, and return the world."""
    world = World(start)
    for step in steps:
        world.take(step)
    world.end()
    return world
