"""Successful model calls."""

import pytest
from atrium.llm.anthropic.provider import AnthropicProvider
from atrium.llm.model import (
    Completed,
    ModelMessage,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ToolResult,
    ToolUse,
    Usage,
)

from infra.local.model_server import ModelServer
from tests.integration.llm.requests import CALCULATOR, answered, ask, completed, said, text_of

pytestmark = pytest.mark.loopback


def test_text_comes_in_pieces_and_then_whole(provider: AnthropicProvider, server: ModelServer) -> None:
    events = list(provider.open(ask("Hello. [[pieces=4]]"), deadline_seconds=10))

    assert sum(isinstance(event, TextDelta) for event in events) == 4
    end = completed(events)
    assert end.content == (Text(text_of(events)),)
    assert end.stop_reason == "end_turn"
    reported = server.requests()[0].usage
    assert reported is not None
    assert end.usage == Usage(reported.input_tokens, reported.output_tokens)


def test_usage_is_that_of_the_provider_cache_included(provider: AnthropicProvider, server: ModelServer) -> None:
    stream = provider.open(ask("Hi [[cache_read=11]] [[cache_write=7]]", system="Be kind."), deadline_seconds=10)
    end = completed(stream)

    reported = server.requests()[0].usage
    assert reported is not None
    assert (end.usage.cache_read_tokens, end.usage.cache_write_tokens) == (11, 7)
    assert end.usage.prompt_tokens == reported.input_tokens + 18
    assert stream.usage == end.usage


def test_the_history_is_shown_to_the_model(provider: AnthropicProvider) -> None:
    request = ask("My cat is called Ada.", answered("Noted."), "What did I say first?")

    assert "Ada" in text_of(provider.open(request, deadline_seconds=10))


def test_several_tools_are_asked_for_and_their_results_reach_the_model(provider: AnthropicProvider) -> None:
    question = 'Both. [[tool=calculator {"expression":"6*7"}]][[tool=calculator {"expression":"é"}]]'
    end = completed(provider.open(ask(question, tools=(CALCULATOR,)), deadline_seconds=10))

    assert end.stop_reason == "tool_use"
    calls = [block for block in end.content if isinstance(block, ToolUse)]
    assert [call.input for call in calls] == [{"expression": "6*7"}, {"expression": "é"}]
    assert len({call.id for call in calls}) == 2

    results = ModelMessage("user", (ToolResult(calls[0].id, "42"), ToolResult(calls[1].id, "no number", is_error=True)))
    follow = ask(said(question), ModelMessage("assistant", end.content), results, tools=(CALCULATOR,))
    answer = text_of(provider.open(follow, deadline_seconds=10))
    assert "42" in answer
    assert "failed: no number" in answer


def test_a_call_cut_by_max_tokens_is_dropped(provider: AnthropicProvider) -> None:
    request = ask('[[tool=calculator {"expression":"1+1+1+1+1+1+1+1"}]][[stop=max_tokens]]', tools=(CALCULATOR,))
    end = completed(provider.open(request, deadline_seconds=10))

    assert end.stop_reason == "max_tokens"
    assert end.content == ()


def test_thinking_streams_and_goes_back_within_its_turn_only(provider: AnthropicProvider, server: ModelServer) -> None:
    question = said('[[thinking=Let me see.]][[tool=calculator {"expression":"2+2"}]]')
    first = provider.open(ask(question, tools=(CALCULATOR,)), deadline_seconds=10)
    events = list(first)
    end = completed(events)
    thoughts = [block for block in end.content if isinstance(block, Thinking)]
    call = next(block for block in end.content if isinstance(block, ToolUse))
    assert "".join(event.text for event in events if isinstance(event, ThinkingDelta)) == "Let me see."
    assert [thought.text for thought in thoughts] == ["Let me see."]
    assert thoughts[0].signature

    turn = (question, ModelMessage("assistant", end.content), ModelMessage("user", (ToolResult(call.id, "4"),)))
    same_turn = completed(provider.open(ask(*turn, tools=(CALCULATOR,)), deadline_seconds=10))
    next_turn = ask(*turn, ModelMessage("assistant", same_turn.content), "And now?", tools=(CALCULATOR,))
    completed(provider.open(next_turn, deadline_seconds=10))

    bodies = [str(record.body) for record in server.requests()]
    assert thoughts[0].signature in bodies[1]
    assert thoughts[0].signature not in bodies[2]
    assert call.id in bodies[2]


@pytest.mark.parametrize(
    ("directive", "expected"),
    [
        ("refusal", "refusal"),
        ("stop=max_tokens", "max_tokens"),
        ("stop=model_context_window_exceeded", "context_overflow"),
        ("stop=stop_sequence", "stop_sequence"),
        ("stop=pause_turn", "pause_turn"),
    ],
)
def test_reasons_to_stop(provider: AnthropicProvider, directive: str, expected: str) -> None:
    assert completed(provider.open(ask(f"Hello [[{directive}]]"), deadline_seconds=10)).stop_reason == expected


def test_system_tools_and_conversation_are_marked_for_the_cache(
    provider: AnthropicProvider, server: ModelServer
) -> None:
    mark = {"type": "ephemeral"}
    completed(provider.open(ask("Hello", system="Be kind.", tools=(CALCULATOR,)), deadline_seconds=10))
    completed(provider.open(ask("Hello", tools=(CALCULATOR,)), deadline_seconds=10))
    with_system, without = (record.body for record in server.requests())
    assert isinstance(with_system, dict)
    assert isinstance(without, dict)

    assert with_system["system"] == [{"type": "text", "text": "Be kind.", "cache_control": mark}]
    assert "cache_control" not in str(with_system["tools"])
    assert str(without["tools"]).count(str(mark)) == 1
    assert "system" not in without
    for body in (with_system, without):
        assert body["messages"] == [
            {"role": "user", "content": [{"type": "text", "text": "Hello", "cache_control": mark}]}
        ]
        assert "temperature" not in body
        assert body["thinking"] == {"type": "adaptive", "display": "summarized"}


def test_tokens_are_counted_by_the_provider_and_bounded_from_above(
    provider: AnthropicProvider, server: ModelServer
) -> None:
    from atrium.llm.tokens import bound_tokens

    request = ask("Wie viele Token hat dieser Satz? 数一数。", system="Be kind.", tools=(CALCULATOR,))

    counted = provider.count_tokens(request)
    end = completed(provider.open(request, deadline_seconds=10))
    assert counted == end.usage.prompt_tokens
    assert bound_tokens(request) > counted


def test_a_whole_event_is_the_last(provider: AnthropicProvider) -> None:
    stream = provider.open(ask("Hi"), deadline_seconds=10)
    assert [isinstance(event, Completed) for event in stream].index(True) >= 1
    assert list(stream) == []
