"""Computes the usage of an answer from figures that a provider reports, which may be missing or wrong.

A figure is used if it is a whole number within the model's limits and not lower than an earlier one. Missing figures
are estimated at three bytes per token, and the usage is marked as `estimated`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from atrium.llm.bounds import BYTES_PER_TOKEN, estimate_prompt_tokens
from atrium.llm.catalogue import ModelInfo
from atrium.llm.model import ModelRequest, Usage


@dataclass(slots=True)
class UsageMeter:
    """The token figures of one answer. Other threads may read it."""

    request: ModelRequest
    model: ModelInfo
    _known: Usage = field(default_factory=Usage)
    _has_input: bool = False
    _has_output: bool = False

    def report(self, figures: Mapping[str, object], *, final: bool) -> None:
        """Add cumulative figures, named as the fields of `Usage`. Until `final`, `output_tokens` is a lower bound."""
        known = self._known
        window, output_max = self.model.context_tokens, self.model.output_tokens_max
        prompt = read_figure(figures.get("input_tokens"), window)
        output = read_figure(figures.get("output_tokens"), output_max)
        self._has_input |= prompt is not None
        self._has_output |= final and output is not None and output >= known.output_tokens
        self._known = Usage(
            max(prompt or 0, known.input_tokens),
            max(output or 0, known.output_tokens),
            max(read_figure(figures.get("cache_read_tokens"), window) or 0, known.cache_read_tokens),
            max(read_figure(figures.get("cache_write_tokens"), window) or 0, known.cache_write_tokens),
        )

    def read(self, written_bytes: int) -> Usage:
        """Return the usage of an answer of which `written_bytes` were received so far."""
        used = self._known
        if not self._has_input or not used.prompt_tokens:
            cached = used.cache_read_tokens + used.cache_write_tokens
            estimate = min(estimate_prompt_tokens(self.request), self.model.context_tokens) - cached
            used = replace(used, input_tokens=max(used.input_tokens, estimate), estimated=True)
        if not self._has_output or (written_bytes and not used.output_tokens):
            written = min(-(-written_bytes // BYTES_PER_TOKEN), self.request.max_tokens)
            used = replace(used, output_tokens=max(used.output_tokens, written), estimated=True)
        return used


def read_figure(reported: object, largest: int) -> int | None:
    """Return a provider's figure as an integer; None if it is not a whole number from 0 to `largest`."""
    if isinstance(reported, bool) or not isinstance(reported, int | float):
        return None
    return int(reported) if 0 <= reported <= largest and reported == int(reported) else None
