"""The quota service. It admits, extends, renews and settles runs, and counts sessions and tool calls."""

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from atrium.kernel.clock import Clock
from atrium.kernel.errors import Unavailable
from atrium.kernel.ids import RunId, SessionId
from atrium.quotas import decisions, planning
from atrium.quotas.item import AdmissionItem
from atrium.quotas.model import (
    TENANT,
    UNLIMITED,
    AdmissionDecision,
    AdmissionRequest,
    Admitted,
    Extended,
    Extension,
    LeaseExpired,
    LimitUsage,
    Recorded,
    Rejected,
    Reservation,
    ScopeLimits,
    Slot,
    Used,
    slot_name,
)
from atrium.quotas.planning import NewSlot, Plan
from atrium.quotas.platform import PlatformLimit
from atrium.quotas.store import AdmissionStore, sweep_place
from atrium.storage import keys
from atrium.storage.keys import Key
from atrium.storage.table import Contended, TenantTable, TransactionRefused
from atrium.storage.writes import Operation, Put

ATTEMPTS_MAX = 25
RETRY_AFTER_SECONDS = 2
_ROUNDS = 2
_PAUSE_SECONDS_MAX = 0.05
_SESSION_CHARGES: decisions.Charged = partial(decisions.charges, {"s": 1})
_TOOL_CHARGES: decisions.Charged = partial(decisions.charges, {"k": 1})

type Items = Mapping[str, AdmissionItem]
"""Admission items by scope id."""


@dataclass(frozen=True, slots=True)
class QuotaService:
    """Applies one tenant's limits. The `scopes` of a call are its user or API key, its agent and the tenant (last).

    With `minutes_open`, requests that have only limits per minute are admitted while the table does not respond.
    `on_failure` is called with the error if an undo fails. The sweeper later releases the remaining slots.
    """

    table: TenantTable
    clock: Clock
    platform: PlatformLimit | None = None
    minutes_open: bool = False
    on_failure: Callable[[Unavailable], None] = lambda _: None
    pause: Callable[[float], None] = time.sleep

    @property
    def store(self) -> AdmissionStore:
        return AdmissionStore(self.table, self.clock)

    def read(self, scopes: Sequence[ScopeLimits]) -> Items:
        """Read the admission items of scopes in one batch."""
        found = self.store.read(keys.admission(each.id) for each in scopes)
        return {each.id: found[keys.admission(each.id)] for each in scopes}

    def admit(
        self, request: AdmissionRequest, scopes: Sequence[ScopeLimits], items: Items | None = None
    ) -> AdmissionDecision:
        """Admit a turn under all limits, or reject it. Idempotent for each run. `items`: admission items already read.

        Costs one write for each scope and one for the platform limit; no write if the read shows a rejection.
        Raises `Unavailable` if the table does not respond. If `minutes_open` applies, the turn is admitted as degraded.
        """
        try:
            return self._admit(request, scopes, items)
        except Unavailable as failure:
            self._undo(request.run_id, scopes)
            if not self.minutes_open or not all(decisions.only_minutes(each) for each in scopes):
                raise Unavailable(internal=failure.internal, retry_after_seconds=RETRY_AFTER_SECONDS) from failure
            return Admitted(Reservation.unrecorded(request, self.store.now()), degraded=True)

    def _admit(
        self, request: AdmissionRequest, scopes: Sequence[ScopeLimits], items: Items | None
    ) -> AdmissionDecision:
        answer, may_fit = self._attempt(request, scopes, self.read(scopes) if items is None else items)
        if may_fit:
            self.pause(random.uniform(0, _PAUSE_SECONDS_MAX))  # noqa: S311 - jitter, no secret
            answer, _ = self._attempt(request, scopes, self.read(scopes))
        return answer

    def _attempt(
        self, request: AdmissionRequest, scopes: Sequence[ScopeLimits], items: Items
    ) -> tuple[AdmissionDecision, bool]:
        """Admit a turn, starting from `items`. Also return whether a rejection may be temporary (see `_take`)."""
        fitted = self.dry_run(request, scopes, items)
        if isinstance(fitted, Rejected):
            self._release(request.run_id, decisions.held(request.run_id, items))
            self.store.set_back({keys.admission(scope_id): item for scope_id, item in items.items()})
            return fitted, False
        return self._take(fitted, scopes, items)

    def dry_run(
        self, request: AdmissionRequest, scopes: Sequence[ScopeLimits], items: Items, *, with_platform: bool = False
    ) -> AdmissionRequest | Rejected:
        """Return the request that would be admitted, or its rejection. `with_platform` reads the platform limit."""
        fitted = decisions.fit(request, decisions.without_slot(request.run_id, scopes, items), decisions.turn_charges)
        if isinstance(fitted, Rejected) or self.platform is None:
            return fitted
        return (self.platform.check() if with_platform else self.platform.rejection()) or fitted

    def _take(
        self, request: AdmissionRequest, scopes: Sequence[ScopeLimits], items: Items
    ) -> tuple[AdmissionDecision, bool]:
        """Acquire a slot in each scope's item. If a scope rejects the turn, release the slots and return the rejection.

        Also return whether a rejection may be temporary: a slot is less than 1 s old, or a shorter answer may fit.
        """
        latest = dict(items)
        slots: dict[str, Slot] = {}
        shown: list[LimitUsage] = []
        name = slot_name(request.run_id)
        for scope in scopes:
            asked, key = decisions.turn_charges(request, scope), keys.admission(scope.id)
            sweep = sweep_place(self.table, scope.id)
            new = NewSlot(name, request.tokens, request.cost_nanos, request.new_session, sweep)
            plan = partial(planning.plan_admission, key, asked=asked, new=new)
            answer, latest[scope.id] = self._carry_out(items[scope.id], plan)
            if isinstance(answer, Rejected):
                self._release(request.run_id, slots)
                seen = decisions.without_slot(request.run_id, scopes, latest)
                rejected = decisions.reject(seen, partial(decisions.turn_charges, request)) or answer
                return rejected, latest[scope.id].has_young or request.estimate is not None
            slots[scope.id] = answer
            is_counted = latest[scope.id].find(name) is not None  # by a write whose reply was lost
            own = decisions.usages(latest[scope.id], asked, added=not is_counted)
            shown = [*own, *shown] if scope.id == TENANT else [*shown, *own]
        counted_in = self.platform.admit(request.run_id) if self.platform else None
        if isinstance(counted_in, Rejected):
            self._release(request.run_id, slots)
            return counted_in, False
        return Admitted(Reservation(request.run_id, slots, counted_in), tuple(shown)), False

    def _carry_out[Answer](
        self, item: AdmissionItem, plan: Callable[[AdmissionItem], Plan[Answer]]
    ) -> tuple[Answer, AdmissionItem]:
        """Plan and write until a write succeeds or is not needed. Return the answer and the item used to plan it."""
        for _ in range(ATTEMPTS_MAX):
            planned = plan(item)
            found = self.store.apply(planned.update) if planned.update else None
            if found is None:
                return planned.answer, item
            item = found
        raise Unavailable(internal="an admission item was changed concurrently in every attempt", retry_after_seconds=1)

    def extend(
        self, reservation: Reservation, used: Used, request: AdmissionRequest, scopes: Sequence[ScopeLimits]
    ) -> Extension:
        """Settle a run's usage so far and reserve its next model call, described by `request`.

        Idempotent for the same reservation. Costs one read for all scopes and one write for each. Only limits on tokens
        and money are checked. After a rejection, some scopes may be extended; the settlement corrects their counters.
        """
        if not reservation.recorded:
            return Extended(reservation.advanced(used, request))
        held = [each for each in scopes if each.id in reservation.slots]
        answer: Extension = LeaseExpired()
        for _ in range(_ROUNDS):
            items = self.read(held)
            fitted = decisions.fit(
                request, decisions.all_without_unused(reservation, used, held, items), decisions.call_charges
            )
            if isinstance(fitted, Rejected):
                return fitted
            answer = self._extend(reservation, used, fitted, held, items)
            if not isinstance(answer, Rejected):
                break
        return answer

    def _extend(
        self,
        reservation: Reservation,
        used: Used,
        request: AdmissionRequest,
        scopes: Sequence[ScopeLimits],
        items: Items,
    ) -> Extension:
        name, slots, latest = slot_name(reservation.run_id), dict(reservation.slots), dict(items)
        for scope in scopes:
            key, known, asked = keys.admission(scope.id), slots[scope.id], decisions.call_charges(request, scope)
            plan = partial(planning.plan_extension, key, name=name, known=known, used=used, asked=asked)
            answer, latest[scope.id] = self._carry_out(items[scope.id], plan)
            if isinstance(answer, Rejected):
                seen = decisions.all_without_unused(reservation, used, scopes, latest)
                return decisions.reject(seen, partial(decisions.call_charges, request)) or answer
            if isinstance(answer, LeaseExpired):
                return answer
            slots[scope.id] = answer
        return Extended(replace(reservation, slots=slots))

    def resume(
        self, reservation: Reservation, used: Used, request: AdmissionRequest, scopes: Sequence[ScopeLimits]
    ) -> Extension:
        """Acquire slots again for a run whose slots were settled to `used`, and reserve its next model call.

        Idempotent for the same reservation. Costs one read for all scopes, and one write for each and for the platform
        limit. After a rejection, no slot is held.
        """
        if not reservation.recorded:
            return Extended(reservation.advanced(used, request))
        held = [each for each in scopes if each.id in reservation.slots]
        name, items, slots = slot_name(reservation.run_id), self.read(held), dict[str, Slot]()
        fitted = decisions.fit(request, decisions.seen(held, items), decisions.resumption_charges)
        if isinstance(fitted, Rejected):
            return fitted
        answer: Slot | int | Rejected | LeaseExpired | None = None
        for scope in held:
            new = NewSlot(name, fitted.tokens, fitted.cost_nanos, False, sweep_place(self.table, scope.id))
            asked, known = decisions.resumption_charges(fitted, scope), reservation.slots[scope.id]
            plan = partial(planning.plan_resumption, keys.admission(scope.id), known=known, used=used, asked=asked)
            answer, _ = self._carry_out(items[scope.id], partial(plan, new=new))
            if not isinstance(answer, Slot):
                break
            slots[scope.id] = answer
        else:
            answer = self.platform.admit(reservation.run_id) if self.platform else None
        if isinstance(answer, Rejected | LeaseExpired):
            self.settle(replace(reservation, slots=slots, platform_item=None), used)
            return answer
        return Extended(replace(reservation, slots=slots, platform_item=answer))

    def renew_lease(self, reservation: Reservation) -> bool:
        """Renew the leases of a run's slots. Return False if a slot was removed; the worker must then stop."""
        if not reservation.recorded:
            return True
        counted_in = reservation.platform_item
        if self.platform and counted_in is not None and not self.platform.renew(reservation.run_id, counted_in):
            return False
        return all(self._renew(name, slot, reservation.run_id) for name, slot in reservation.slots.items())

    def _renew(self, scope_id: str, slot: Slot, run_id: RunId) -> bool:
        name = slot_name(run_id)
        for _ in range(_ROUNDS):
            found = self.store.apply(planning.plan_renewal(keys.admission(scope_id), name, slot, self.store.now()))
            if found is None:
                return True
            text = found.slots.get(name)
            if text is None:
                return False
            slot = Slot.parse(text)
        return True  # the worker is extending the reservation, which also renews the lease

    def settle(self, reservation: Reservation, used: Used, *, is_last: bool = False) -> bool:
        """Remove a run's slots and count its actual usage. Return False if the run has no slot in the tenant's item.

        Must be called for every outcome of a run, after its ledger entry is written and the run is closed. With
        `is_last`, slots that a later worker acquired are kept. Idempotent.
        """
        return self._settle(reservation, used, undone=False, is_last=is_last)

    def release(self, reservation: Reservation) -> bool:
        """Undo the admission of a run that did not begin: subtract its reservation, request and session."""
        return self._settle(reservation, Used(0, 0), undone=True)

    def _settle(self, reservation: Reservation, used: Used, *, undone: bool, is_last: bool = False) -> bool:
        if not reservation.recorded:
            return False
        settled = False
        for scope_id, slot in reservation.slots.items():
            name = slot_name(reservation.run_id)
            settled = self.settle_slot(scope_id, name, slot, used, undone=undone, is_last=is_last)
        if reservation.platform_item is not None and self.platform is not None:
            self.platform.release(reservation.run_id, reservation.platform_item)
        return settled

    def settle_slot(
        self, scope_id: str, name: str, slot: Slot, used: Used, *, undone: bool = False, is_last: bool = False
    ) -> bool:
        """Settle the slot with this name in one scope's item. Return False if the slot is already settled."""
        key = keys.admission(scope_id)
        item: AdmissionItem | None = None
        for _ in range(ATTEMPTS_MAX):
            item = self.store.apply(planning.plan_settlement(key, name, slot, used, item, undone=undone))
            if item is None:
                return True
            found = item.find(name)
            if found is None or (is_last and found.call > slot.call):
                return False
            slot = found
        raise Unavailable(internal="a slot was changed concurrently in every attempt", retry_after_seconds=1)

    def find(self, reservation: Reservation) -> Reservation | None:
        """Read the current slots of a reservation. Return None if the tenant's slot is already settled."""
        name = slot_name(reservation.run_id)
        items = self.store.read(keys.admission(scope_id) for scope_id in reservation.slots)
        found = {scope_id: items[keys.admission(scope_id)].find(name) for scope_id in reservation.slots}
        if found.get(TENANT) is None:
            return None
        return replace(reservation, slots={scope_id: slot for scope_id, slot in found.items() if slot is not None})

    def reject_session(self, scopes: Sequence[ScopeLimits], items: Items) -> Rejected | None:
        """Return the rejection of a new session by items that were read. Nothing is written."""
        return decisions.reject(decisions.seen(scopes, items), _SESSION_CHARGES)

    def record_session(
        self, session_id: SessionId, record: Put, scopes: Sequence[ScopeLimits], items: Items
    ) -> Recorded | Rejected:
        """Write a session's record and count it against `sessions_per_day`, in one transaction.

        `record` must require that the session does not exist, so that a retry is counted once. A rejection costs one
        more read, because an earlier attempt may have succeeded. Raises `Unavailable`.
        """
        asked = {each.id: _SESSION_CHARGES(each) for each in scopes}
        for _ in range(ATTEMPTS_MAX):
            counted: dict[str, int] = {}
            updates: list[Operation] = []
            for scope in scopes:
                plan = planning.plan_count(keys.admission(scope.id), items[scope.id], asked[scope.id])
                if isinstance(plan.answer, Rejected):
                    if self.table.get(record.key) is not None:
                        return decisions.recorded(asked, scopes, items)
                    return decisions.reject(decisions.seen(scopes, items), _SESSION_CHARGES) or plan.answer
                counted[scope.id] = plan.answer
                updates += [plan.update] if plan.update else []
            try:
                self.table.transact([record, self.store.session_mark(session_id, counted), *updates])
                return decisions.recorded(asked, scopes, items)
            except TransactionRefused as refused:
                if 0 in refused.failed:  # the record exists: this transaction succeeded and its reply was lost
                    return decisions.recorded(asked, scopes, items)
            except Contended:
                pass
            items = self.read(scopes)
        raise Unavailable(internal="session limits were changed concurrently in every attempt", retry_after_seconds=1)

    def record_tool_call(self, scopes: Sequence[ScopeLimits]) -> Recorded | Rejected:
        """Count a tool call in every scope that limits tool calls, or in none if one scope rejects it (`tool_scopes`).

        Costs one read and one write for each scope; no write if the read shows a rejection. A retry after a lost reply
        may be counted twice. With `minutes_open`, the result is degraded if the table does not respond.
        """
        limited = [each for each in scopes if each.maximum("tool_calls_per_minute") != UNLIMITED]
        counted: list[tuple[Key, Sequence[decisions.LimitIncrement], int]] = []
        shown: list[LimitUsage] = []
        try:
            found = self.store.read(keys.tool_calls(each.id) for each in limited)
            latest = {each.id: found[keys.tool_calls(each.id)] for each in limited}
            rejected = decisions.reject(decisions.seen(limited, latest), _TOOL_CHARGES)
            if rejected is not None:
                self.store.set_back(found)
                return rejected
            for scope in limited:
                key, asked = keys.tool_calls(scope.id), _TOOL_CHARGES(scope)
                answer, latest[scope.id] = self._carry_out(found[key], partial(planning.plan_count, key, asked=asked))
                if isinstance(answer, Rejected):
                    self._uncount(counted)
                    return decisions.reject(decisions.seen(limited, latest), _TOOL_CHARGES) or answer
                counted.append((key, asked, answer))
                shown += decisions.usages(latest[scope.id], asked, added=True)
        except Unavailable:
            self._uncount(counted)
            if not self.minutes_open:
                raise
            return Recorded(degraded=True)
        return Recorded(tuple(shown))

    def _uncount(self, counted: Sequence[tuple[Key, Sequence[decisions.LimitIncrement], int]]) -> None:
        """Subtract a tool call that was just counted. After a concurrent write, the call remains counted."""
        try:
            for key, asked, second in counted:
                update = planning.plan_return(key, asked, second, self.store.read([key])[key])
                if update is not None:
                    self.store.apply(update)
        except Unavailable as failure:
            self.on_failure(failure)

    def _release(self, run_id: RunId, slots: Mapping[str, Slot]) -> None:
        """Release slots that were acquired before a rejection. If a release fails, the sweeper releases the slot."""
        for scope_id, slot in slots.items():
            try:
                self.settle_slot(scope_id, slot_name(run_id), slot, Used(0, 0), undone=True)
            except Unavailable as failure:
                self.on_failure(failure)

    def _undo(self, run_id: RunId, scopes: Sequence[ScopeLimits]) -> None:
        """Release slots whose write may have succeeded without a reply. If this fails, their leases expire."""
        try:
            self._release(run_id, decisions.held(run_id, self.read(scopes)))
            if self.platform is not None:
                self.platform.undo(run_id)
        except Unavailable as failure:
            self.on_failure(failure)
