"""A model of all operations on a tenant's admission items, compared with the real `QuotaService`.

Workers run operations of the service on a table in memory, each with its own clock. A worker stops before each call to
the table, so the calls of several workers interleave in any order. A call can fail, be applied without a reply, or be
repeated, and a worker can be killed. After each write, `Ledger` compares all counters and limits of the item with
values that it computes from the slots that appear, change and disappear.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from atrium.kernel.errors import AtriumError, ConditionFailed, Unavailable
from atrium.kernel.ids import RunId, SessionId
from atrium.quotas.item import AdmissionItem
from atrium.quotas.limits import BUCKETS, DEFINITIONS, LimitDefinition
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
from atrium.storage.keys import Key
from atrium.storage.table import Contended, TransactionRefused
from atrium.storage.writes import NEW, Put
from greenlet import getcurrent, greenlet  # type: ignore[import-untyped]  # it has no types

from tests.builders.memory_table import MemoryTable

type Kind = Literal[
    "admit", "admit again", "extend", "renew", "settle", "release", "session", "sweep", "wait", "limit", "go"
]
type Fate = Literal["go", "repeat", "lose", "fail", "contend", "die", "die after"]

KEY, AGENT = "key_1", "agt_1"
SCOPES: Mapping[str, Literal["key", "agent", "tenant"]] = {KEY: "key", AGENT: "agent", TENANT: "tenant"}
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
SKEWS = (0.0, 0.0, 0.3, 1.0, 2.0, -0.3, -1.0, -2.0)
GRACE_SECONDS = 60
IN_FLIGHT_MAX = 4


@dataclass(frozen=True)
class Step:
    """One step. `pick` chooses a run or worker. `amount` is a number of tokens or an index.

    `fate` is the outcome of a call to the table. Only a `whole` operation runs to its end without a stop.
    """

    kind: Kind
    pick: int = 0
    amount: int = 0
    skew: int = 0
    whole: bool = True
    fate: Fate = "go"


class Killed(BaseException):
    """Raised in a worker to simulate that its process was killed."""


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


@dataclass
class Worker:
    """One operation in progress. `used` is the settled usage, or None if the operation undoes an admission."""

    what: str
    now: Callable[[], float]
    limits: Mapping[str, ScopeLimits] = field(default_factory=dict)
    used: Used | None = None
    used_of: Callable[[str], Used | None] | None = None
    thread: Any = None
    answer: Any = None
    faults: int = 0
    writes: int = 0


@dataclass
class Stay:
    """The expected state of a run in an admission item. `calls` are pairs of start second and counted tokens."""

    slot: Slot
    calls: list[tuple[int, int]]
    state: Literal["open", "settled", "undone"] = "open"
    used: Used = field(default_factory=lambda: Used(0, 0))

    @property
    def tokens(self) -> int:
        return {"open": self.slot.tokens_in_all, "settled": self.used.tokens, "undone": 0}[self.state]

    @property
    def cost_nanos(self) -> int:
        return {"open": self.slot.cost_in_all_nanos, "settled": self.used.cost_nanos, "undone": 0}[self.state]


@dataclass
class Ledger:
    """The expected state of one admission item, computed independently of the service."""

    open: dict[str, Stay] = field(default_factory=dict)
    stays: list[Stay] = field(default_factory=list)
    settled: set[str] = field(default_factory=set)
    sessions: list[int] = field(default_factory=list)

    def note(self, scope_id: str, before: Mapping[str, Any], after: Mapping[str, Any], worker: Worker) -> None:
        """Apply the change of a write to the expected state, then compare the item with it."""
        was, now = slots_of(before), slots_of(after)
        assert not after["slots"].keys() & after["late"].keys()
        assert not after["slots"].keys() & before.get("late", {}).keys(), "a late slot came back"
        for name in after["late"].keys() & before.get("slots", {}).keys():
            assert was[name].lease_until < worker.now(), "a slot was moved whose lease is in force"
        for name in now.keys() - was.keys():
            assert worker.what in {"admit", "admit again"}
            assert now[name].call == 1
            assert name not in self.settled, "a run was admitted after it was settled"
            self.open[name] = Stay(now[name], [(now[name].admitted, now[name].tokens)])
            self.stays.append(self.open[name])
        for name in was.keys() - now.keys():
            self._end(name, was[name], worker)
        for name in now.keys() & was.keys():
            self._change(name, was[name], now[name], worker)
        if worker.what == "session":
            self.sessions.append(after["at"])
        self.check(after)
        for name, slot in now.items():
            if name not in was or slot.call > was[name].call:
                check_limits(after, worker.limits[scope_id], slot)
        if worker.what == "session":
            limit = worker.limits[scope_id].maximum("sessions_per_day")
            assert limit == UNLIMITED or used_of(after, "sessions_per_day", after["at"]) <= limit

    def _end(self, name: str, slot: Slot, worker: Worker) -> None:
        stay = self.open.pop(name)
        used = worker.used_of(name) if worker.used_of else worker.used
        second, _ = stay.calls[-1]
        if used is None:
            assert slot.call == 1
            stay.state, stay.calls[-1] = "undone", (second, 0)
        else:
            stay.state, stay.used, stay.calls[-1] = "settled", used, (second, max(0, used.tokens - slot.past_tokens))
            self.settled.add(name)

    def _change(self, name: str, was: Slot, now: Slot, worker: Worker) -> None:
        stay = self.open[name]
        stay.slot = now
        if now.call == was.call:
            assert now.reservation_text == was.reservation_text
            return
        assert worker.what == "extend"
        assert worker.used is not None
        assert (now.call, now.past_tokens) == (was.call + 1, worker.used.tokens)
        stay.calls[-1] = (stay.calls[-1][0], worker.used.tokens - was.past_tokens)
        stay.calls.append((now.second, now.tokens))

    def check(self, item: Mapping[str, Any]) -> None:
        """Assert that each counter of the item has the expected value."""
        seen = AdmissionItem(item, float(item["at"]))
        first = item["at"] - BUCKETS
        requests = sum(stay.state != "undone" for stay in self.stays if stay.slot.admitted > first)
        tokens = sum(tokens for stay in self.stays for second, tokens in stay.calls if second > first)
        expected = {"rn": requests, "tn": tokens}
        for letter in "rt":
            amounts = [amount for second, own, _, amount in seen.buckets if own == letter]
            assert min(amounts, default=0) >= 0, item
            assert sum(amounts) == item.get(f"{letter}n", 0), item
        for name in ("requests_per_day", "sessions_per_day", "tokens_per_month", "cost_per_month"):
            definition = DEFINITIONS[name]
            own = definition.counter(item["at"])
            expected[own] = sum(
                _counted(stay, definition) for stay in self.stays if definition.counter(stay.slot.admitted) == own
            )
            if name == "sessions_per_day":
                expected[own] += sum(definition.counter(second) == own for second in self.sessions)
        assert {name: item.get(name, 0) for name in expected} == expected, item
        assert slots_of(item) == {name: stay.slot for name, stay in self.open.items()}


def _counted(stay: Stay, definition: LimitDefinition) -> int:
    match definition.name:
        case "requests_per_day":
            return int(stay.state != "undone")
        case "sessions_per_day":
            return int(stay.slot.new_session and stay.state != "undone")
        case "tokens_per_month":
            return stay.tokens
        case _:
            return stay.cost_nanos


def slots_of(item: Mapping[str, Any]) -> dict[str, Slot]:
    return {name: Slot.parse(text) for name, text in {**item.get("slots", {}), **item.get("late", {})}.items()}


def used_of(item: Mapping[str, Any], name: LimitName, second: int) -> int:
    if name == "concurrent_turns":
        return len(item["slots"])
    return int(item.get(DEFINITIONS[name].counter(second), 0))


def check_limits(item: Mapping[str, Any], scope: ScopeLimits, slot: Slot) -> None:
    """Assert that the last admission or extension of the slot exceeded no limit."""
    amounts: dict[LimitName, int] = {
        "tokens_per_minute": slot.tokens,
        "tokens_per_month": slot.tokens,
        "cost_per_month": slot.cost_nanos,
    }
    if slot.call == 1:
        amounts |= {"requests_per_minute": 1, "requests_per_day": 1, "concurrent_turns": 1}
        amounts |= {"sessions_per_day": int(slot.new_session)}
    for name, amount in amounts.items():
        limit = scope.maximum(name)
        assert not amount or limit == UNLIMITED or used_of(item, name, slot.admitted) <= limit, (name, limit, item)


class World:
    """The table, the time, the current limits, and the workers."""

    def __init__(self, start: datetime = datetime(2026, 11, 21, 12, tzinfo=UTC)) -> None:
        self.table = MemoryTable()
        self.table.intercept, self.table.on_store = self._stop, self._note
        self.now = start
        self.limits: dict[str, dict[LimitName, int]] = {TENANT: {"concurrent_turns": 3}}
        self.turns: list[Turn] = []
        self.flying: list[Worker] = []
        self.at_work: Worker | None = None
        self.books: dict[str, Ledger] = {scope_id: Ledger() for scope_id in SCOPES}
        self.sessions = 0

    # --- calls to the table

    def _stop(self, name: str, send: Callable[[], Any]) -> Any:
        """Stop the current worker before a call to the table, then apply the fate of the call."""
        worker = self.at_work
        assert worker is not None
        fate: Fate = getcurrent().parent.switch() if worker.thread is getcurrent() else "go"
        worker.faults += fate not in {"go", "repeat"}
        worker.writes += name in {"write", "transact"}
        match fate:
            case "fail":
                raise Unavailable(internal="not sent")
            case "contend" if name in {"write", "transact"}:
                raise Contended(internal="another transaction")
            case "die":
                raise Killed
            case "repeat" if name in {"write", "transact"}:
                with suppress(ConditionFailed, TransactionRefused):
                    send()
                return send()
            case "lose" | "die after":
                send()
                raise Unavailable(internal="reply lost") if fate == "lose" else Killed
        return send()

    def _note(self, key: Key, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
        if key.partition == keys.admissions():
            assert self.at_work is not None
            scope_id = TENANT if key.sort == "TENANT" else key.sort
            self.books[scope_id].note(scope_id, before, after, self.at_work)

    # --- workers

    def _service(self, skew: float) -> QuotaService:
        return QuotaService(self.table, lambda: self.now + timedelta(seconds=skew), pause=lambda _: None)

    def start(
        self, what: str, act: Callable[[QuotaService], Any], step: Step, scopes: Sequence[ScopeLimits] = (), **more: Any
    ) -> Worker:
        """Start a worker. It stops before its first call to the table, unless the step is `whole`."""
        skew = SKEWS[step.skew % len(SKEWS)]
        service = self._service(skew)
        worker = Worker(what, lambda: self.now.timestamp() + skew, {each.id: each for each in scopes}, **more)
        worker.thread = greenlet(lambda: self._run(worker, act, service))
        self.flying.append(worker)
        self.advance(worker, None)
        if step.whole:
            self.finish(worker)
        while len(self.flying) > IN_FLIGHT_MAX:
            self.finish(self.flying[0])
        return worker

    def _run(self, worker: Worker, act: Callable[[QuotaService], Any], service: QuotaService) -> None:
        try:
            worker.answer = act(service)
        except AtriumError as failure:
            worker.answer = failure
        except Killed as end:
            worker.answer = end

    def advance(self, worker: Worker, fate: Fate | None) -> None:
        """Apply `fate` to the worker's pending call, and run the worker to its next call. None starts the worker."""
        before, self.at_work = self.at_work, worker
        try:
            worker.thread.switch() if fate is None else worker.thread.switch(fate)
        finally:
            self.at_work = before
        if worker.thread.dead and worker in self.flying:
            self.flying.remove(worker)

    def finish(self, worker: Worker) -> None:
        for _ in range(500):
            if worker.thread.dead:
                return
            self.advance(worker, "go")
        raise AssertionError(f"{worker.what} does not end")

    # --- operations

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
