"""A model of everything that may happen to one admission item, in any order, with clocks ±2 s apart.

The model keeps its own book: each admission in item time, each live slot, each hold. After every step the item's
counters are what the book says, and no limit was ever passed in any 60 s, day or month.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from atrium.kernel.ids import mint_tenant_id
from atrium.quotas.meters import moment
from atrium.quotas.model import Hold, LeaseLost, Limits, NotHeld, Refused, Renewed, Settled, Subject
from atrium.storage.table import PhysicalTable
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.unit.quotas.rooms import START, Room, check_item, make_run_id

SKEWS = st.sampled_from([-2.0, -1.0, -0.3, 0.0, 0.0, 0.0, 0.3, 1.0, 2.0])
LIMITS: Limits = {
    "requests_per_minute": 6,
    "tokens_per_minute": 300,
    "requests_per_day": 40,
    "tokens_per_month": 1500,
    "cost_per_month": 1500,
    "concurrent_turns": 3,
}
USER = Subject("user", "usr_a", {"requests_per_minute": 4, "concurrent_turns": 1, "cost_per_month": 800})
PREFIX_OF_USER = "u9ce050_"


class Admission(RuleBasedStateMachine):
    """One tenant and one of its users."""

    def __init__(self, table: PhysicalTable) -> None:
        super().__init__()
        self.room = Room(table, LIMITS, tenant=mint_tenant_id(START))
        self.open: dict[Hold, tuple[float, bool]] = {}  # lease's end, is the user's
        self.admissions: dict[Hold, tuple[int, bool]] = {}  # tokens as they stand, is the user's
        self.days: dict[str, int] = {}
        self.money: dict[str, tuple[int, int]] = {}
        self.seen: Mapping[str, Any] | None = None

    @initialize(hour=st.sampled_from([0.0, 11.99, 228 - 0.02]))
    def begin(self, hour: float) -> None:
        self.room.turn(3600 * hour)

    @rule(seconds=st.sampled_from([0.1, 0.4, 1.0, 10.0, 31.0, 58.0, 60.0, 86_400.0]))
    def pass_time(self, seconds: float) -> None:
        self.room.turn(seconds)

    @rule()
    def read(self) -> None:
        """Read the item now; whoever admits with it later has missed what happened since."""
        self.seen = self.room.read()

    @rule(skew=SKEWS, tokens=st.integers(0, 120), of_user=st.booleans(), how=st.sampled_from(["blind", "old", "new"]))
    def admit(self, skew: float, tokens: int, of_user: bool, how: str) -> None:
        self.room.skew = timedelta(seconds=skew)
        self.room.subjects = (USER,) if of_user else ()
        before = self.room.read()
        match how:
            case "blind":
                answer = self.room.admit(tokens=tokens, cost_nanos=tokens)
            case "old" if self.seen is not None:
                answer = self.room.admit(tokens=tokens, cost_nanos=tokens, read=self.seen)
            case _:
                answer = self.room.admit(tokens=tokens, cost_nanos=tokens, read=before)
        self.room.skew = timedelta()
        if isinstance(answer, Refused):
            assert self.room.read() == before
            return
        self._note(answer, of_user)

    def _note(self, hold: Hold, of_user: bool) -> None:
        item = self.room.item()
        assert item["roll"] == hold.second
        self.admissions[hold] = (hold.tokens, of_user)
        self.open[hold] = (hold.lease_until, of_user)
        day, month = f"{moment(hold.second):%Y%m%d}", f"{moment(hold.second):%Y%m}"
        self.days[day] = self.days.get(day, 0) + 1
        self._spend(month, hold.cost_nanos, of_user)

    def _spend(self, month: str, amount: int, of_user: bool) -> None:
        tenant, user = self.money.get(month, (0, 0))
        self.money[month] = (tenant + amount, user + amount * of_user)

    @precondition(lambda self: self.open)
    @rule(data=st.data(), seconds=st.sampled_from([0.4, 2.0, 58.0, 61.0, 63.0, 90.0]), settles=st.booleans())
    def roll_upon_what_was_read_before(self, data: st.DataObject, seconds: float, settles: bool) -> None:
        """A read, then time, a settlement and a heartbeat, and only then the write that the read led to."""
        self.room.turn(seconds)
        self.read()
        if settles:
            self.settle(data, 0.5, 0.0)
        if self.open:
            self.heartbeat(data, 0.0)
        self.admit(0.0, 40, of_user=data.draw(st.booleans()), how="old")

    @precondition(lambda self: self.open)
    @rule(data=st.data(), share=st.floats(0, 1), skew=SKEWS)
    def settle(self, data: st.DataObject, share: float, skew: float) -> None:
        hold = data.draw(st.sampled_from(list(self.open)))
        used = int(hold.tokens * share)
        self.room.skew = timedelta(seconds=skew)
        assert self.room.settle(hold, used, used) == Settled()
        self.room.skew = timedelta()
        _, of_user = self.open.pop(hold)
        self.admissions[hold] = (used, of_user)
        self._spend(f"{moment(hold.second):%Y%m}", used - hold.cost_nanos, of_user)
        self._touch_what_is_over(hold)

    @precondition(lambda self: self.open)
    @rule(data=st.data(), skew=SKEWS)
    def heartbeat(self, data: st.DataObject, skew: float) -> None:
        hold = data.draw(st.sampled_from(list(self.open)))
        self.room.skew = timedelta(seconds=skew)
        answer = self.room.renew(hold)
        self.room.skew = timedelta()
        until, of_user = self.open[hold]
        if isinstance(answer, Renewed):
            self.open[hold] = (answer.lease_until, of_user)
        else:
            assert answer == LeaseLost()
            assert until < self.room.now.timestamp() + 2, "a lease was lost before it was over"

    def _touch_what_is_over(self, hold: Hold) -> None:
        """A run that is settled, and one that never was, move nothing."""
        before = self.room.read()
        for each in (hold, Hold(make_run_id(self.room.now), 0, hold.second, 9, 9, "tmc")):
            assert self.room.settle(each, 1, 1) == NotHeld()
            assert self.room.renew(each) == LeaseLost()
        assert self.room.read() == before

    @invariant()
    def nothing_is_oversold(self) -> None:
        for first in self.admissions:
            window = [each for hold, each in self.admissions.items() if 0 <= hold.second - first.second <= 60]
            assert len(window) <= 6
            assert sum(of_user for _, of_user in window) <= 4
            assert sum(tokens for tokens, _ in window) <= 300
        assert all(count <= 40 for count in self.days.values())
        assert all(tenant <= 1500 and user <= 800 for tenant, user in self.money.values())
        live = [of_user for until, of_user in self.open.values() if until > self.room.now.timestamp() + 2]
        assert len(live) <= 3
        assert sum(live) <= 1

    @invariant()
    def the_item_is_what_the_book_says(self) -> None:
        item = self.room.read()
        if item is None:
            assert not self.admissions
            return
        check_item(item)
        roll = item["roll"]
        window = [each for hold, each in self.admissions.items() if hold.second > roll - 61]
        assert item["rn"] == len(window)
        assert item.get("tn", 0) == sum(tokens for tokens, _ in window)
        assert item.get(f"{PREFIX_OF_USER}rn", 0) == sum(of_user for _, of_user in window)
        month = f"{moment(roll):%Y%m}"
        assert item.get(f"cm{month}", 0) == item.get(f"tm{month}", 0) == self.money[month][0]
        assert item.get(f"{PREFIX_OF_USER}cm{month}", 0) == self.money[month][1]
        assert item[f"rd{moment(roll):%Y%m%d}"] == self.days[f"{moment(roll):%Y%m%d}"]
        assert len(item["slots"]) + len(item["late"]) == len(self.open)
        of_user = sum("x" in slot["m"] for slot in item["slots"].values())
        assert item.get(f"{PREFIX_OF_USER}xn", 0) == of_user


@pytest.mark.timeout(900)
def test_no_order_of_things_oversells_leaks_settles_twice_or_drifts(
    physical_table: PhysicalTable, request: pytest.FixtureRequest
) -> None:
    """moto takes a second for an order of things: it gets the first few of those that DynamoDB Local gets."""
    on_moto = request.config.getoption("--dynamodb") == "moto"
    run_state_machine_as_test(
        lambda: Admission(physical_table),  # type: ignore[arg-type]  # any factory will do
        settings=settings(
            max_examples=8 if on_moto else 40,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            derandomize=True,
            phases=[Phase.generate],
            database=None,
        ),
    )
