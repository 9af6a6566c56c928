"""What a run may still do: its own bounds, and what its tenant's limits hold for it. The loop asks before each call.

The hold is always that of one model call: what the calls before it used is settled in the write that holds the next.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, Protocol

from atrium.agent.budget import BudgetStop, RunBudget
from atrium.agent.estimating import estimate_call
from atrium.kernel.clock import Clock
from atrium.kernel.errors import LimitReached, Unavailable
from atrium.llm.model import ModelRequest
from atrium.quotas.door import Door, OpenTurn
from atrium.quotas.estimate import Estimate
from atrium.quotas.model import AdmissionRequest, Hold, LeaseLost, Subject, Used
from atrium.runs.model import Spend

type AllowanceStop = BudgetStop | Literal["quota_exceeded", "lost"]


class Allowance(Protocol):
    """Who grants model and tool calls."""

    def grant(self, request: ModelRequest, spend: Spend) -> int | AllowanceStop:
        """Return how many tokens the answer to a call may have, or why the call may not be made."""
        ...

    def refuse_tool(self) -> str | None:
        """Count a tool call, or return what to tell the model about why it is not made."""
        ...


@dataclass(frozen=True, slots=True)
class OwnBounds:
    """A run's own bounds alone."""

    budget: RunBudget
    clock: Clock

    def fit(self, request: ModelRequest, spend: Spend) -> Estimate | BudgetStop:
        return self.budget.fit(estimate_call(request, self.clock()), spend)

    def grant(self, request: ModelRequest, spend: Spend) -> int | AllowanceStop:
        fitted = self.fit(request, spend)
        return fitted.output_tokens if isinstance(fitted, Estimate) else fitted

    def refuse_tool(self) -> str | None:
        return None


@dataclass(slots=True)
class HeldAllowance:
    """An admitted run's. `on_refusal` hears of what a limit refused; `on_unrecorded` of holds that no item records,
    and tells whether the run is still its worker's.
    """

    bounds: OwnBounds
    door: Door
    turn: OpenTurn
    subjects: tuple[Subject, ...]
    on_refusal: Callable[[LimitReached], None]
    on_unrecorded: Callable[[Hold, Spend], bool]
    _begun: bool = field(default=False, init=False)

    def grant(self, request: ModelRequest, spend: Spend) -> int | AllowanceStop:
        fitted = self.bounds.fit(request, spend)
        if not isinstance(fitted, Estimate):
            return fitted
        first, self._begun = not self._begun, True
        hold = self.turn.hold
        held = fitted.fitted(hold.tokens, hold.cost_nanos) if first else None
        return held.output_tokens if held is not None else self._extend(fitted, spend)

    def refuse_tool(self) -> str | None:
        try:
            with self.door.tool_call():
                return None
        except LimitReached as refusal:
            self.on_refusal(refusal)
            wait = refusal.retry_after_seconds
            return f"Not called: {refusal.detail}." + (f" Try again in {wait} s." if wait else "")
        except Unavailable:
            return "Not called: tool calls cannot be counted at the moment."

    def _extend(self, wanted: Estimate, spend: Spend) -> int | AllowanceStop:
        request = request_for(self.turn.hold, wanted, self.subjects)
        try:
            hold = self.door.next_call(self.turn, Used(spend.total_tokens, spend.cost_nanos), request)
        except LimitReached as refusal:
            self.on_refusal(refusal)
            return "quota_exceeded"
        if isinstance(hold, LeaseLost):
            return "lost"
        if not hold.recorded and not self.on_unrecorded(hold, spend):
            return "lost"
        return hold.tokens - wanted.prompt_tokens


def request_for(hold: Hold, wanted: Estimate, subjects: tuple[Subject, ...]) -> AdmissionRequest:
    return AdmissionRequest(hold.run_id, wanted.tokens, wanted.cost_nanos, False, subjects, wanted)
