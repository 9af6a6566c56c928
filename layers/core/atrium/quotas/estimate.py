"""What one model call can use at most, by how long its answer may become."""

from dataclasses import dataclass, replace

OUTPUT_TOKENS_LEAST = 16
"""An answer that is cut off before is worth nothing: a call with less room is refused."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """Upper bounds. `output_tokens` is how long the answer may be, each token of it at `output_token_nanos`."""

    prompt_tokens: int
    prompt_cost_nanos: int
    output_tokens: int
    output_token_nanos: int

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.output_tokens

    @property
    def cost_nanos(self) -> int:
        return self.prompt_cost_nanos + self.output_tokens * self.output_token_nanos

    @property
    def least(self) -> "Estimate":
        """The shortest answer that makes sense."""
        return replace(self, output_tokens=min(self.output_tokens, OUTPUT_TOKENS_LEAST))

    def fitted(self, tokens_left: int | None, cost_left_nanos: int | None) -> "Estimate | None":
        """Return the call with the longest answer that fits into what is left; None where not even the least does."""
        room = self.output_tokens
        if tokens_left is not None:
            room = min(room, tokens_left - self.prompt_tokens)
        if cost_left_nanos is not None:
            left = cost_left_nanos - self.prompt_cost_nanos
            room = min(room, left // self.output_token_nanos if self.output_token_nanos else room if left >= 0 else -1)
        return replace(self, output_tokens=room) if room >= self.least.output_tokens else None
