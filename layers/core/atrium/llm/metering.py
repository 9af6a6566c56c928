"""What an answer used, from figures that a provider reports and that may be missing or wrong.

A figure counts if it is an integer that the model can reach, and never lowers one that was reported before. What is
missing is estimated, three bytes to a token, and the usage is marked as `estimated`.
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
        """Take cumulative figures, by the names of the fields of `Usage`; `output_tokens` counts once it is final."""
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
        """Return the usage of an answer that has so many bytes by now."""
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
    """Return a provider's figure as an integer; None where it is none, or cannot be true."""
    if isinstance(reported, bool) or not isinstance(reported, int | float):
        return None
    return int(reported) if 0 <= reported <= largest and reported == int(reported) else None
