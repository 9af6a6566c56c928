"""Claude as a `ModelProvider`."""

import random
from collections.abc import Callable

from atrium.llm.anthropic.channel import Channel
from atrium.llm.anthropic.counting import count_tokens
from atrium.llm.anthropic.stream import AnthropicStream
from atrium.llm.bounds import check_request
from atrium.llm.connection import CancellableConnection
from atrium.llm.model import ModelRequest
from atrium.llm.retries import RetryPolicy

# Not `random.random`: processes restored from one snapshot would draw the same pauses.
_DRAW = random.SystemRandom().random


class AnthropicProvider:
    """Claude, by one channel."""

    def __init__(
        self,
        channel: Channel,
        *,
        policy: RetryPolicy | None = None,
        draw: Callable[[], float] = _DRAW,
    ) -> None:
        self._channel, self._policy, self._draw = channel, policy or RetryPolicy(), draw

    @property
    def name(self) -> str:
        return self._channel.name

    def open(self, request: ModelRequest, *, deadline_seconds: float) -> AnthropicStream:
        """See `ModelProvider.open`; nothing is sent before the stream is iterated."""
        model = check_request(request)
        return AnthropicStream(
            self._channel, request, model, CancellableConnection(deadline_seconds), self._policy, self._draw
        )

    def count_tokens(self, request: ModelRequest) -> int:
        """See `ModelProvider.count_tokens`; takes 30 s at most."""
        return count_tokens(self._channel, request, check_request(request))
