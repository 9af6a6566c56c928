"""A turn that is tried out: what it would hold, and which limit would refuse it, decided by the very code that admits.

Nothing is written and nothing counted; a refusal is not in the audit. That a session is busy is no limit.
"""

from dataclasses import dataclass

from atrium.agent.opening import TurnOpener
from atrium.agent.request import TurnRequest
from atrium.agent.resolve import checked_ids
from atrium.kernel.errors import LimitReached
from atrium.kernel.ids import mint_run_id, mint_session_id


@dataclass(frozen=True, slots=True)
class TrialAnswer:
    """What the next turn like this would be told: its hold, and what refuses it, if anything does."""

    tokens: int
    cost_nanos: int
    refusal: LimitReached | None = None


@dataclass(frozen=True, slots=True)
class TurnTrial:
    """Tries turns of one caller. The opener's admitter must be one over a `TrialStore`."""

    opener: TurnOpener

    def check(self, request: TurnRequest) -> TrialAnswer:
        """Try a turn out; what is no limit refuses as it would the turn: `NotFound`, `ModelNotAllowed`, …"""
        now = self.opener.clock()
        _, session_id = checked_ids(request)
        run_id = mint_run_id(now, session_id or mint_session_id(now))
        resolved = self.opener.resolver.resolve(request)
        asked = self.opener.sketch(request, resolved, run_id)
        try:
            self.opener.admitter.require_message(resolved, resolved.session.turn_count if resolved.session else 0)
            hold = self.opener.admitter.enter(asked, resolved).hold
        except LimitReached as refusal:
            return TrialAnswer(asked.tokens_hold, asked.cost_hold_nanos, refusal)
        return TrialAnswer(hold.tokens, hold.cost_nanos)
