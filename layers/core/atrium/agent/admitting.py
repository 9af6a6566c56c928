"""Admitting a turn under the limits that its first reads brought, and the allowance that it then runs on."""

from collections.abc import Callable
from dataclasses import dataclass

from atrium.agent.allowance import HeldAllowance, OwnBounds
from atrium.agent.budget import RunBudget
from atrium.agent.loop import LoopInput, build_request
from atrium.agent.resolve import Resolved
from atrium.kernel.clock import Clock
from atrium.kernel.errors import LimitReached
from atrium.quotas.door import Door, OpenTurn
from atrium.quotas.estimate import Estimate
from atrium.quotas.failures import failure_of, session_is_full
from atrium.quotas.model import UNLIMITED, AdmissionRequest, Hold
from atrium.quotas.service import AdmissionService
from atrium.runs.model import Run, Spend
from atrium.runs.store import RunStore


@dataclass(frozen=True, slots=True)
class Admitter:
    """One tenant's. `on_refusal` hears of each limit that refused something."""

    admissions: AdmissionService
    runs: RunStore
    clock: Clock
    on_refusal: Callable[[LimitReached], None]

    def require_message(self, resolved: Resolved, messages: int) -> None:
        """Refuse a message in a session that has as many as it may have."""
        maximum = resolved.terms.messages_per_session
        if maximum != UNLIMITED and messages >= maximum:
            raise self._refused(failure_of(session_is_full(messages, maximum), self.clock()))

    def admit(
        self, run: Run, given: LoopInput, resolved: Resolved, budget: RunBudget, *, new_session: bool
    ) -> OpenTurn:
        """Take a slot, and hold the most that the run's first call can use; `LimitReached`, and nothing is counted."""
        return self.enter(self.request_of(run, given, resolved, budget, new_session=new_session), resolved)

    def enter(self, request: AdmissionRequest, resolved: Resolved) -> OpenTurn:
        """Take what a request asks for, or raise `LimitReached`."""
        try:
            return self._door(resolved).open_turn(request, resolved.admission)
        except LimitReached as refusal:
            raise self._refused(refusal) from None

    def request_of(
        self, run: Run, given: LoopInput, resolved: Resolved, budget: RunBudget, *, new_session: bool
    ) -> AdmissionRequest:
        """Return what a run's admission asks for: the most that its first call can use."""
        fitted = OwnBounds(budget, self.clock).fit(build_request(given), Spend())
        estimate = fitted if isinstance(fitted, Estimate) else None
        tokens, cost = (estimate.tokens, estimate.cost_nanos) if estimate else (0, 0)
        return AdmissionRequest(run.id, tokens, cost, new_session, resolved.subjects, estimate)

    def allowance(self, slot: OpenTurn, resolved: Resolved, budget: RunBudget) -> HeldAllowance:
        def note(hold: Hold, spend: Spend) -> bool:
            return self.runs.note_hold(hold.run_id, hold, spend=spend)

        bounds = OwnBounds(budget, self.clock)
        return HeldAllowance(bounds, self._door(resolved), slot, resolved.subjects, self.on_refusal, note)

    def _door(self, resolved: Resolved) -> Door:
        return Door(self.admissions, resolved.terms, resolved.subjects)

    def _refused(self, refusal: LimitReached) -> LimitReached:
        self.on_refusal(refusal)
        return refusal
