"""What one run may use by its own bounds. A call that could pass one is made shorter, or not made."""

from dataclasses import dataclass
from typing import Literal

from atrium.quotas.estimate import Estimate
from atrium.runs.model import Spend

type BudgetStop = Literal["max_iterations", "max_cost", "max_run_tokens"]


@dataclass(frozen=True, slots=True)
class RunBudget:
    """Bounds of one run. Money in nano-dollars, tokens of prompts (cached or not) and answers; None is no bound."""

    max_iterations: int
    max_seconds: int
    max_cost_nanos: int | None = None
    max_tokens: int | None = None

    def fit(self, estimate: Estimate, spend: Spend) -> Estimate | BudgetStop:
        """Return the next model call with the longest answer that keeps every bound, or why it may not be made."""
        tokens_left = None if self.max_tokens is None else self.max_tokens - spend.total_tokens
        cost_left = None if self.max_cost_nanos is None else self.max_cost_nanos - spend.cost_nanos
        if estimate.fitted(tokens_left, None) is None:
            return "max_run_tokens"
        return estimate.fitted(tokens_left, cost_left) or "max_cost"
