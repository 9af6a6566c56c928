"""The admission item of one scope in memory, and updates that the planning functions build.

Times are seconds since the epoch.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from atrium.kernel.errors import ConditionFailed
from atrium.kernel.ids import RunId
from atrium.quotas import decisions, planning
from atrium.quotas.item import AdmissionItem
from atrium.quotas.model import AdmissionRequest, LeaseExpired, Limits, Rejected, ScopeLimits, Slot, Used
from atrium.quotas.planning import NewSlot, Plan
from atrium.storage import keys
from atrium.storage.writes import Update

from tests.builders.memory_table import MemoryTable

NOON = 1_795_262_400.25
"""2026-11-21T12:00:00.25Z in seconds since the epoch."""
SECOND = int(NOON)
KEY = keys.admission("")
SWEEP = ("SWEEP#0", "here")


def run_name(number: int) -> str:
    return f"{number:026d}"


def run_id(number: int) -> RunId:
    return RunId(f"run_{number:026d}{number:026d}")


@dataclass
class ItemBench:
    """An admission item to which planned updates are applied.

    `ask` and `extend` plan an update from the current item or from an earlier read (`seen`). They return None if the
    condition of the write fails.
    """

    limits: Limits = field(default_factory=dict)
    now: float = NOON
    table: MemoryTable = field(default_factory=MemoryTable)
    runs: int = 0

    @property
    def scope(self) -> ScopeLimits:
        return ScopeLimits("tenant", self.limits)

    def item(self, now: float | None = None) -> AdmissionItem:
        return AdmissionItem(self.table.get(KEY), self.now if now is None else now)

    @property
    def attributes(self) -> Mapping[str, Any]:
        return self.table.items[KEY]

    def apply(self, update: Update) -> bool:
        try:
            self.table.write(update)
        except ConditionFailed:
            return False
        return True

    def plan_admission(
        self,
        number: int | None = None,
        *,
        tokens: int = 0,
        cost_nanos: int = 0,
        new_session: bool = False,
        seen: AdmissionItem | None = None,
    ) -> Plan[Slot | Rejected]:
        self.runs += number is None
        name = run_name(self.runs if number is None else number)
        request = AdmissionRequest(run_id(1), tokens, cost_nanos, new_session)
        new = NewSlot(name, tokens, cost_nanos, new_session, SWEEP)
        asked = decisions.turn_charges(request, self.scope)
        return planning.plan_admission(KEY, seen or self.item(), asked, new)

    def ask(self, **request: Any) -> Slot | Rejected | None:
        plan = self.plan_admission(**request)
        return plan.answer if plan.update is None or self.apply(plan.update) else None

    def admit(self, **request: Any) -> tuple[str, Slot]:
        """Admit a turn. Return the name of its slot, and the slot."""
        answer = self.ask(**request)
        assert isinstance(answer, Slot), answer
        return run_name(request.get("number") or self.runs), answer

    def reject(self, **request: Any) -> Rejected:
        answer = self.ask(**request)
        assert isinstance(answer, Rejected), answer
        return answer

    def extend(
        self,
        name: str,
        known: Slot,
        used: Used,
        *,
        tokens: int = 0,
        cost_nanos: int = 0,
        seen: AdmissionItem | None = None,
    ) -> Slot | Rejected | LeaseExpired | None:
        asked = decisions.call_charges(AdmissionRequest(run_id(1), tokens, cost_nanos), self.scope)
        plan = planning.plan_extension(KEY, seen or self.item(), name, known, used, asked)
        return plan.answer if plan.update is None or self.apply(plan.update) else None

    def settle(self, name: str, slot: Slot, tokens: int = 0, cost_nanos: int = 0, *, undone: bool = False) -> bool:
        """Settle a slot in the same way as `QuotaService`. Return False if the slot no longer exists.

        The first write uses the given slot. If its condition fails, the item is read and the write is made again with
        the slot in the item.
        """
        used, item = Used(tokens, cost_nanos), None
        for _ in range(2):
            if self.apply(planning.plan_settlement(KEY, name, slot, used, item, undone=undone)):
                return True
            item = self.item()
            found = item.find(name)
            if found is None:
                return False
            slot = found
        raise AssertionError("the settlement does not apply")

    def renew(self, name: str, slot: Slot) -> bool:
        return self.apply(planning.plan_renewal(KEY, name, slot, self.now))

    def count(self, name: str) -> int:
        return int(self.attributes.get(name, 0))

    def check(self, *, or_negative: bool = False) -> None:
        """Assert that the total of each window equals the sum of its seconds.

        Unless `or_negative` is true, also assert that no second has a negative amount.
        """
        item = self.item()
        for letter in "rt":
            amounts = [amount for _, own, _, amount in item.buckets if own == letter]
            assert sum(amounts) == self.count(f"{letter}n"), self.attributes
            assert or_negative or min(amounts, default=0) >= 0, self.attributes

    def sums(self) -> tuple[int, int]:
        """Check the item, then return the number of requests and tokens in the window."""
        self.check()
        return self.count("rn"), self.count("tn")
