"""The response model for amounts of usage, in the usage report and in the progress of a deletion."""

from atrium.http.models import StrictModel
from atrium.llm.catalogue import format_cost
from atrium.usage.model import Figures


class UsageFigures(StrictModel):
    """Number of turns, tokens and tool calls, and their cost."""

    requests: int
    """Number of settled turns and jobs."""
    input_tokens: int
    """Input tokens that were not read from or written to the prompt cache."""
    output_tokens: int
    """Output tokens, including thinking."""
    cache_read_tokens: int
    """Input tokens read from the provider's prompt cache."""
    cache_write_tokens: int
    """Input tokens written to the provider's prompt cache."""
    tool_calls: int
    """Number of executed tool calls."""
    cost_usd: str
    """Cost in USD as decimal text with six decimals, at the prices of the platform."""
    own_key_cost_usd: str
    """The part of `cost_usd` of turns with the tenant's own API key. The tenant pays it to the model provider."""


def render_figures[Rendered: UsageFigures](model: type[Rendered], figures: Figures, /, **fields: object) -> Rendered:
    """Return an instance of `model` with the amounts of `figures` and the additional `fields`."""
    return model.model_validate(
        {
            **fields,
            "requests": figures.requests,
            "input_tokens": figures.input_tokens,
            "output_tokens": figures.output_tokens,
            "cache_read_tokens": figures.cache_read_tokens,
            "cache_write_tokens": figures.cache_write_tokens,
            "tool_calls": figures.tool_calls,
            "cost_usd": format_cost(figures.cost_nanos),
            "own_key_cost_usd": format_cost(figures.own_key_cost_nanos),
        }
    )
