"""What one run may use. The loop asks before each model call; the answer is how much is left, or why to stop."""

from dataclasses import dataclass
from typing import Literal

from atrium.runs.model import Spend

type BudgetStop = Literal["max_iterations", "max_cost", "max_run_tokens"]


@dataclass(frozen=True, slots=True)
class RunBudget:
    """Bounds of one run. Money in nano-dollars, tokens of prompts (cached or not) and answers; None is no bound.

    They stop the next model call, not the one that passes a bound.
    """

    max_iterations: int
    max_seconds: int
    max_cost_nanos: int | None = None
    max_tokens: int | None = None

    def stops(self, spend: Spend, iterations: int) -> BudgetStop | None:
        """Return why no further model call may be made, or None."""
        if iterations >= self.max_iterations:
            return "max_iterations"
        if self.max_cost_nanos is not None and spend.cost_nanos >= self.max_cost_nanos:
            return "max_cost"
        if self.max_tokens is not None and _total(spend) >= self.max_tokens:
            return "max_run_tokens"
        return None

    def output_tokens_max(self, wanted: int, spend: Spend) -> int:
        """Return how many tokens the next call may write: at most `wanted`, at least 1."""
        if self.max_tokens is None:
            return wanted
        return max(1, min(wanted, self.max_tokens - _total(spend)))


def _total(spend: Spend) -> int:
    return spend.tokens.prompt_tokens + spend.tokens.output_tokens
