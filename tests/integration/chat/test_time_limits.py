"""Time limits of turns.

`/v1/chat` sends no byte before its answer, and API Gateway closes a silent response after 300 s.
"""

import pytest
from atrium.llm.anthropic.provider import AnthropicProvider
from atrium.llm.model import ModelRequest, ModelStream

from tests.builders.api_env import ApiEnv, say, stream

pytestmark = pytest.mark.loopback

GATEWAY_IDLE_SECONDS = 300
# Seconds from the time limit of a turn to the time limit of its model call.
GRACE_SECONDS = 5


@pytest.fixture
def deadlines(api_env: ApiEnv, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time limits of the model calls, in a deployment with the maximum `MaxTurnSeconds`."""
    given: list[float] = []
    opened = AnthropicProvider.open

    def note(self: AnthropicProvider, request: ModelRequest, *, deadline_seconds: float) -> ModelStream:
        given.append(deadline_seconds)
        return opened(self, request, deadline_seconds=deadline_seconds)

    monkeypatch.setattr(AnthropicProvider, "open", note)
    object.__setattr__(api_env.runtime.settings, "max_turn_seconds", 880)
    return given


def test_a_buffered_turn_ends_before_the_gateways_time_out(api_env: ApiEnv, deadlines: list[float]) -> None:
    assert say(api_env.chat_as(), "Hello. [[echo]]").status_code == 200

    (seconds,) = deadlines
    assert 250 < seconds <= GATEWAY_IDLE_SECONDS - 20 + GRACE_SECONDS


def test_a_streamed_turn_has_the_deployments_time_limit(api_env: ApiEnv, deadlines: list[float]) -> None:
    """A stream is never silent, because it contains a comment every 15 s."""
    stream(api_env.chat_as(), "Hello. [[echo]]")

    (seconds,) = deadlines
    assert 850 < seconds <= 880 + GRACE_SECONDS


def test_a_shorter_deployment_limit_applies_to_both(api_env: ApiEnv, deadlines: list[float]) -> None:
    object.__setattr__(api_env.runtime.settings, "max_turn_seconds", 100)

    say(api_env.chat_as(), "Hello. [[echo]]")
    stream(api_env.chat_as(), "Hello. [[echo]]")

    assert len(deadlines) == 2
    assert max(deadlines) <= 100 + GRACE_SECONDS
