"""A model of a key that is counted apart and its tenant: any order of calls, and a worker that dies at any write.

The book has each run, what it holds and what it used. No limit of either is ever passed; once everything is settled and
what died is swept, both items say what the book says.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import pytest
from atrium.kernel.ids import RunId, TenantId, mint_tenant_id
from atrium.quotas.charges import slot_name
from atrium.quotas.model import (
    AdmissionRequest,
    Admitted,
    Extended,
    Hold,
    LeaseLost,
    Limits,
    Refused,
    Settled,
    Subject,
    Used,
)
from atrium.quotas.service import AdmissionService
from atrium.quotas.settling import hold_of_slot
from atrium.quotas.store import AdmissionStore
from atrium.quotas.terms import Terms
from atrium.storage.table import PhysicalTable, TenantTable
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from tests.builders.wires import Kill, Killed, intercepted
from tests.unit.quotas.rooms import START, check_item, make_run_id

KEY = Subject("key", "key_a", {"requests_per_minute": 4, "cost_per_month": 900, "concurrent_turns": 2}, apart=True)
TENANT: Limits = {"requests_per_minute": 5, "cost_per_month": 1_500, "concurrent_turns": 3}
GRACE_SECONDS = 60


@dataclass
class Book:
    """A run as the test knows it. `used` is its ledger entry, before its settlement."""

    hold: Hold
    of_key: bool
    second: int
    used: int | None = None


class Apart(RuleBasedStateMachine):
    """One tenant and one of its keys; money is counted, and nothing but money is held."""

    def __init__(self, physical: PhysicalTable) -> None:
        super().__init__()
        self.physical = physical
        self.tenant: TenantId = mint_tenant_id(START)
        self.now: datetime = START
        self.runs: dict[RunId, Book] = {}
        self.ended: list[Book] = []
        self.service = AdmissionService(AdmissionStore(TenantTable(physical, self.tenant), lambda: self.now))

    def ask(self, run_id: RunId, of_key: bool, cost: int) -> AdmissionRequest:
        return AdmissionRequest(run_id, 0, cost, False, (KEY,) if of_key else ())

    def item(self, place: str) -> Mapping[str, Any]:
        store = self.service.store.at(place) if place else self.service.store
        return store.read(0) or {}

    @rule(seconds=st.sampled_from([0.2, 1.0, 20.0, 59.0, 62.0]))
    def pass_time(self, seconds: float) -> None:
        self.now = START.fromtimestamp(self.now.timestamp() + seconds, START.tzinfo)

    @rule(of_key=st.booleans(), cost=st.integers(1, 400))
    def admit(self, of_key: bool, cost: int) -> None:
        before = [self.item(place) for place in ("", KEY.id)]
        run_id = make_run_id(self.now)
        answer = self.service.admit(self.ask(run_id, of_key, cost), Terms(TENANT))
        if isinstance(answer, Refused):
            for place, stood in zip(("", KEY.id), before, strict=True):
                found = self.item(place)
                assert found.get("cm202611", 0) == stood.get("cm202611", 0)
                gone = set(stood.get("slots", {})) - set(found.get("slots", {}))
                assert gone <= set(found.get("late", {})), "only those whose lease was over lost their place"
            return
        self.runs[run_id] = Book(answer.hold, of_key, answer.hold.second)

    @rule(of_key=st.booleans(), cost=st.integers(1, 400), at=st.integers(0, 5), applied=st.booleans())
    def admit_and_die(self, of_key: bool, cost: int, at: int, applied: bool) -> None:
        """A worker that dies at any of its calls; what it took is swept, unless it was told."""
        run_id = make_run_id(self.now)
        try:
            with intercepted(self.physical.client, Kill(at, applied=applied)):
                answer = self.service.admit(self.ask(run_id, of_key, cost), Terms(TENANT))
        except Killed:
            return
        if isinstance(answer, Admitted):
            self.runs[run_id] = Book(answer.hold, of_key, answer.hold.second)

    @precondition(lambda self: self.runs)
    @rule(data=st.data(), share=st.floats(0, 1), cost=st.integers(1, 300))
    def extend(self, data: st.DataObject, share: float, cost: int) -> None:
        book = self.runs[data.draw(st.sampled_from(list(self.runs)))]
        spent = book.hold.past_cost_nanos + int((book.hold.cost_in_all_nanos - book.hold.past_cost_nanos) * share)
        request = self.ask(book.hold.run_id, book.of_key, cost)
        answer = self.service.extend(book.hold, Used(0, spent), request, Terms(TENANT))
        if isinstance(answer, Extended):
            book.hold = answer.hold
        if isinstance(answer, Refused | LeaseLost):
            self._end(book, spent)

    @precondition(lambda self: self.runs)
    @rule(data=st.data())
    def heartbeat(self, data: st.DataObject) -> None:
        self.service.heartbeat(self.runs[data.draw(st.sampled_from(list(self.runs)))].hold)

    @precondition(lambda self: self.runs)
    @rule(data=st.data(), share=st.floats(0, 1), at=st.integers(0, 6), applied=st.booleans())
    def settle(self, data: st.DataObject, share: float, at: int, applied: bool) -> None:
        """The ledger has what was used before anything is settled, and the worker may die in between."""
        book = self.runs[data.draw(st.sampled_from(list(self.runs)))]
        used = int(book.hold.cost_in_all_nanos * share)
        try:
            with intercepted(self.physical.client, Kill(at, applied=applied)):
                self._end(book, used)
        except Killed:
            return

    def _end(self, book: Book, used: int) -> None:
        book.used = used
        self.ended.append(self.runs.pop(book.hold.run_id))
        self.service.settle(book.hold, 0, used)

    @rule()
    def sweep(self) -> None:
        """Return what has no run and settle what the ledger has, as the sweeper does; slots of open runs are theirs."""
        known = {book.hold.run_id: book for book in self.ended}
        for place in ("", KEY.id):
            item = self.item(place)
            for name, slot in {**item.get("late", {}), **item.get("slots", {})}.items():
                run_id = RunId(f"run_{name}")
                own = next((each for each in known if slot_name(each) == name), None)
                is_open = any(slot_name(each) == name for each in self.runs)
                if is_open or slot["e"] >= self.now.timestamp() - GRACE_SECONDS:
                    continue
                hold = replace(hold_of_slot(run_id, 0, slot), place=place)
                if own is not None:
                    assert self.service.settle(hold, 0, known[own].used or 0) == Settled()
                else:
                    self.service.release(hold)

    @invariant()
    def nothing_is_oversold(self) -> None:
        books = [*self.runs.values(), *self.ended]
        for of_key, limits in ((False, TENANT), (True, KEY.limits)):
            counted = [book for book in books if book.of_key or not of_key]
            for first in counted:
                window = [each for each in counted if 0 <= each.second - first.second <= 60]
                assert len(window) <= limits["requests_per_minute"]
            spent = sum(book.used if book.used is not None else book.hold.cost_in_all_nanos for book in counted)
            assert spent <= limits["cost_per_month"]

    @invariant()
    def items_add_up(self) -> None:
        for place in ("", KEY.id):
            if item := self.item(place):
                check_item(item)

    def teardown(self) -> None:
        for book in list(self.runs.values()):
            self._end(book, 0)
        self.pass_time(62.0)
        self.pass_time(62.0)
        self.sweep()
        for place, of_key in (("", False), (KEY.id, True)):
            item = self.item(place)
            expected = sum(book.used or 0 for book in self.ended if book.of_key or not of_key)
            assert (item.get("cm202611", 0), item.get("slots", {}), item.get("late", {})) == (expected, {}, {}), place


@pytest.mark.timeout(240)
def test_whatever_happens_in_whatever_order(physical_table: PhysicalTable, request: pytest.FixtureRequest) -> None:
    """DynamoDB Local gets them all, moto the first few."""
    run_state_machine_as_test(
        lambda: Apart(physical_table),  # type: ignore[arg-type]  # any factory will do
        settings=settings(
            max_examples=6 if request.config.getoption("--dynamodb") == "moto" else 40,
            stateful_step_count=40,
            deadline=None,
            derandomize=True,
            phases=(Phase.generate,),
            suppress_health_check=list(HealthCheck),
        ),
    )
