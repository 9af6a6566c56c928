"""The budget of a turn, and the reservation of its model calls. The loop calls `grant` before each model call."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, Protocol

from atrium.agent.context import TurnContext
from atrium.kernel.clock import Clock
from atrium.kernel.errors import LimitReached, Unavailable
from atrium.kernel.ids import RunId
from atrium.llm.catalogue import bound_price, find_model
from atrium.llm.model import ModelRequest
from atrium.llm.tokens import bound_tokens
from atrium.quotas.model import (
    UNLIMITED,
    AdmissionRequest,
    Admitted,
    Estimate,
    LeaseExpired,
    Rejected,
    Reservation,
    ScopeLimits,
    Used,
    tool_scopes,
)
from atrium.quotas.responses import full_session, limit_error
from atrium.quotas.service import QuotaService
from atrium.runs.model import BudgetStop, RunBudget, Spend
from atrium.runs.store import RunStore
from atrium.tools.model import Tool

type AllowanceStop = BudgetStop | Literal["quota_exceeded", "lost"]

_PRICED_FOR = timedelta(minutes=15)
"""The longest run time of a function. No model call takes longer."""


class Allowance(Protocol):
    """Allows or rejects the model and tool calls of a run."""

    def grant(self, request: ModelRequest, spend: Spend) -> int | AllowanceStop:
        """Return the maximum number of output tokens of the next model call, or the reason why it is not allowed."""
        ...

    def refuse_tool(self, tool: Tool[Any]) -> str | None:
        """Count a call of a tool. Return None, or a message for the model if the call is not allowed."""
        ...


def estimate_call(request: ModelRequest, now: datetime) -> Estimate:
    """Return upper bounds of a call and its fallbacks, at the highest prices of the next 15 minutes."""
    prompt = bound_tokens(request)
    each = [_estimate_model(model, prompt, now) for model in (request.model, *request.fallbacks)]
    tokens, cost, output = (max(figures) for figures in zip(*each, strict=True))
    return Estimate(tokens, cost, request.max_tokens, output)


def _estimate_model(model_id: str, prompt: int, now: datetime) -> tuple[int, int, int]:
    """Return upper bounds for one model: prompt tokens, cost of the prompt, and cost of one output token."""
    model = find_model(model_id)
    if model is not None:
        prompt = min(prompt, model.context_tokens)
    return (prompt, *bound_price(model_id, prompt, first=now, last=now + _PRICED_FOR))


@dataclass(frozen=True, slots=True)
class TurnAdmission:
    """Admits turns of one tenant. `on_rejection` is called with the error of each rejection."""

    quotas: QuotaService
    runs: RunStore
    clock: Clock
    on_rejection: Callable[[LimitReached], None]

    def require_message(self, context: TurnContext, messages: int) -> None:
        """Raise `LimitReached` if the session already has the maximum number of messages."""
        maximum = context.limits.maximum("messages_per_session")
        if maximum != UNLIMITED and messages >= maximum:
            raise self.error(full_session(messages, maximum))

    def admit(self, request: AdmissionRequest, context: TurnContext) -> Admitted:
        """Acquire a slot and reserve the first model call. If a limit rejects the turn, raise `LimitReached`."""
        decision = self.quotas.admit(request, context.scopes, context.items)
        if isinstance(decision, Rejected):
            raise self.error(decision)
        return decision

    def request_of(
        self, run_id: RunId, first_call: ModelRequest, budget: RunBudget, *, new_session: bool
    ) -> AdmissionRequest:
        """Return a run's admission request, with the bounds of its first call (0 if the budget allows no call)."""
        fitted = budget.fit(estimate_call(first_call, self.clock()), Spend())
        if not isinstance(fitted, Estimate):
            return AdmissionRequest(run_id, 0, 0, new_session)
        return AdmissionRequest(run_id, fitted.tokens, fitted.cost_nanos, new_session, fitted)

    def error(self, rejected: Rejected) -> LimitReached:
        """Pass a rejection to `on_rejection` and return its error."""
        error = limit_error(rejected, self.clock())
        self.on_rejection(error)
        return error


@dataclass(slots=True)
class RunAllowance:
    """The allowance of an admitted run. The heartbeat thread also reads the current `reservation`."""

    admission: TurnAdmission
    budget: RunBudget
    scopes: tuple[ScopeLimits, ...]
    reservation: Reservation
    _has_begun: bool = False

    def grant(self, request: ModelRequest, spend: Spend) -> int | AllowanceStop:
        fitted = self.budget.fit(estimate_call(request, self.admission.clock()), spend)
        if not isinstance(fitted, Estimate):
            return fitted
        is_first, self._has_begun = not self._has_begun, True
        own = self.reservation.own
        reserved = fitted.fitted(own.tokens, own.cost_nanos) if is_first else None
        return reserved.output_tokens if reserved is not None else self._extend(fitted, spend)

    def refuse_tool(self, tool: Tool[Any]) -> str | None:
        try:
            scopes = tool_scopes(tool.name, tool.calls_per_minute, self.scopes)
            decision = self.admission.quotas.record_tool_call(scopes)
        except Unavailable:
            return "Not called: tool calls cannot be counted at the moment."
        if not isinstance(decision, Rejected):
            return None
        error = self.admission.error(decision)
        wait = decision.retry_after_seconds
        return f"Not called. {error.detail}" + (f" Try again in {wait} s." if wait else "")

    def _extend(self, wanted: Estimate, spend: Spend) -> int | AllowanceStop:
        used = Used(spend.total_tokens, spend.cost_nanos)
        request = AdmissionRequest(self.reservation.run_id, wanted.tokens, wanted.cost_nanos, estimate=wanted)
        decision = self.admission.quotas.extend(self.reservation, used, request, self.scopes)
        if isinstance(decision, Rejected):
            self.admission.error(decision)
            return "quota_exceeded"
        if isinstance(decision, LeaseExpired):
            return "lost"
        self.reservation = decision.reservation
        if not self.reservation.recorded and not self.admission.runs.note_reservation(self.reservation, spend=spend):
            return "lost"
        return self.reservation.own.tokens - wanted.prompt_tokens
