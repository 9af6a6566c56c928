"""Every provider yields the same events for the same answer."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import httpx2
import pytest
from atrium.kernel.errors import ModelFailed
from atrium.llm.catalogue import MODELS
from atrium.llm.model import (
    Completed,
    ModelEvent,
    ModelProvider,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ToolUse,
    Usage,
)

from tests.builders import chunks, upstream
from tests.builders.bedrock import bedrock_over, frame
from tests.builders.upstream import HELLO, START, STOP, closed, opened, piece, reason

pytestmark = pytest.mark.usefixtures("aws")

type Handler = Callable[[httpx2.Request], httpx2.Response]

MESSAGES = (
    START,
    opened(0, type="thinking", thinking="", signature=""),
    piece(0, "thinking_delta", thinking="Hm."),
    piece(0, "signature_delta", signature="sig"),
    closed(0),
    *upstream.said("I will.", 1),
    *upstream.called('{"a": 1}', 2, call_id="call_a"),
    *upstream.called('{"b":', 3, call_id="call_b"),
    reason("tool_use", input_tokens=9, cache_read_input_tokens=7, output_tokens=5),
    STOP,
)
CHUNKS = (
    chunks.delta(reasoning_content="Hm."),
    chunks.delta(content="I will."),
    chunks.call(0, id="call_a", name="calculator", arguments='{"a"'),
    chunks.call(1, id="call_b", name="calculator", arguments='{"b"'),
    chunks.call(0, arguments=": 1}"),
    chunks.call(1, arguments=":"),
    chunks.delta("tool_calls"),
    {
        "choices": [],
        "usage": {"prompt_tokens": 16, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 7}},
    },
    chunks.DONE,
)


@dataclass(frozen=True)
class Case:
    """A provider and its form of the answer. `begun` is the number of parts until the text has been sent."""

    model: str
    provider: Callable[[Handler], ModelProvider]
    respond: Callable[[Sequence[Any]], httpx2.Response]
    parts: Sequence[Any]
    begun: int


def in_frames(parts: Sequence[Any]) -> httpx2.Response:
    return httpx2.Response(200, content=b"".join(map(frame, parts)))


CASES = {
    "anthropic": Case("claude-haiku-5-5", upstream.provider_over, upstream.stream_of, MESSAGES, 8),
    "bedrock": Case("claude-haiku-5-5", bedrock_over, in_frames, MESSAGES, 8),
    "openai": Case("gpt-6-luna", chunks.provider_over, chunks.stream_of, CHUNKS, 2),
    "zhipu": Case(
        "glm-5.3-flash", lambda handler: chunks.provider_over(handler, vendor="zhipu"), chunks.stream_of, CHUNKS, 2
    ),
}


def play(case: Case, parts: Sequence[Any], seen: list[ModelEvent]) -> ModelProvider:
    """Add the events of an answer to `seen`, and return the provider."""
    provider = case.provider(lambda _request: case.respond(parts))
    seen.extend(provider.open(replace(HELLO, model=case.model), deadline_seconds=5))
    return provider


@pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))
def test_the_events_of_an_answer_with_two_tools(case: Case) -> None:
    seen: list[ModelEvent] = []
    play(case, case.parts, seen)

    *deltas, end = seen
    assert deltas == [ThinkingDelta("Hm."), TextDelta("I will.")]
    assert isinstance(end, Completed)
    thought, text, *calls = end.content
    assert isinstance(thought, Thinking)
    assert (thought.text, text) == ("Hm.", Text("I will."))
    assert [(call.id, call.input, bool(call.problem)) for call in calls if isinstance(call, ToolUse)] == [
        ("call_a", {"a": 1}, False),
        ("call_b", {}, True),
    ]
    assert (end.stop_reason, end.usage, end.usage.estimated) == ("tool_use", Usage(9, 5, 7), False)


@pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))
def test_an_answer_that_ends_early_fails_after_its_deltas(case: Case) -> None:
    seen: list[ModelEvent] = []
    with pytest.raises(ModelFailed, match="the answer has no end"):
        play(case, case.parts[: case.begun], seen)
    assert seen == [ThinkingDelta("Hm."), TextDelta("I will.")]


def test_every_vendor_has_a_case() -> None:
    assert {model.vendor for model in MODELS.values()} == set(CASES) - {"bedrock"}


@pytest.mark.parametrize("vendor", [upstream, chunks], ids=["anthropic", "openai"])
@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(vendor: Any, status: int) -> None:
    """A redirect could send the API key and the conversation to another server."""
    asked: list[str] = []

    def handle(request: httpx2.Request) -> httpx2.Response:
        asked.append(request.url.host)
        return httpx2.Response(status, headers={"location": "http://169.254.169.254/"})

    with pytest.raises(ModelFailed, match=f"status {status}"):
        list(vendor.provider_over(handle).open(vendor.HELLO, deadline_seconds=5))
    assert set(asked) == {"model.test"}
