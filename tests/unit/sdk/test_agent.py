"""An agent in a process: its answers, history, limits, usage and errors."""

import logging
import time
from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from atrium import sdk
from atrium.kernel.errors import AtriumError, ModelFailed, ModelTimeout, SessionBusy, ValidationFailed
from atrium.llm.model import Block, ModelMessage, Text, Thinking, ToolResult, Usage
from atrium.sdk import Agent, AgentEvent, FinalResponseEvent, TextEvent, ThinkingEvent, tool
from atrium.tools.calculator import CALCULATOR
from atrium.tools.done import DONE

from tests.builders.loops import MODEL, show
from tests.builders.runtimes import TurnedClock
from tests.builders.scripted import USED, ScriptedModel, calls


@pytest.fixture
def model() -> ScriptedModel:
    return ScriptedModel()


def agent_of(provider: ScriptedModel, **options: Any) -> Agent:
    return Agent(**{"model": MODEL, "provider": provider, "tools": [CALCULATOR], "clock": TurnedClock(), **options})


def shown(events: Iterable[AgentEvent]) -> list[str]:
    return [f"<{each.stop_reason}>" if isinstance(each, FinalResponseEvent) else show(each) for each in events]


def said(agent: Agent) -> list[tuple[str, str]]:
    """Return the role and the text of each message of the history. A tool result is shown in brackets."""
    return [(each.role, "".join(map(text_of, each.content))) for each in agent.messages]


def text_of(block: Block) -> str:
    match block:
        case Text(text):
            return text
        case ToolResult(content=content):
            return f"[{content}]"
        case _:
            return ""


def test_exports_what_it_names() -> None:
    assert [name for name in sdk.__all__ if not hasattr(sdk, name)] == []


def test_the_events_of_a_query_end_with_the_final_response(model: ScriptedModel) -> None:
    model.say(Thinking("hm", "signature"), "See.", calls("calculator", expression="6*7"))
    model.say("42.")
    *events, last = agent_of(model).query_stream("6*7?")
    assert shown(events) == ["(hm)", "See.", "calculator?", "calculator=42", "\n\n", "42."]
    assert (type(events[0]), type(events[1])) == (ThinkingEvent, TextEvent)
    assert last == FinalResponseEvent("See.\n\n42.", "end_turn", 2)


def test_a_query_continues_the_history(model: ScriptedModel) -> None:
    model.say("See.", calls("calculator", expression="6*7"))
    model.say("42.")
    agent = agent_of(model, system_prompt="Be brief.")
    assert agent.query("6*7?") == "See.\n\n42."
    assert agent.query("Thanks.") == "Hello."
    history = [("user", "6*7?"), ("assistant", "See."), ("user", "[42]"), ("assistant", "42."), ("user", "Thanks.")]
    assert said(agent) == [*history, ("assistant", "Hello.")]
    assert model.requests[-1].messages == agent.messages[:-1]
    assert model.requests[-1].system == "Be brief."
    other = agent_of(model)
    other.load_history(agent.messages)
    other.query("Hi")
    assert model.requests[-1].messages[:-1] == agent.messages
    other.clear_history()
    assert other.messages == ()


def test_the_calls_of_a_tool_in_a_minute_are_limited_over_all_queries(model: ScriptedModel) -> None:
    clock = TurnedClock()
    agent = agent_of(model, tools=[replace(CALCULATOR, calls_per_minute=2)], clock=clock)
    results: list[str] = []
    for seconds in (0, 20, 20, 20, 1):
        clock.advance(seconds)
        model.say(calls("calculator", expression="6*7"))
        agent.query("6*7?")
        results += [text for role, text in said(agent)[-3:] if text.startswith("[")]
    refused = "[Not called. The tool's limit is 2 calls per minute. Try again in {} s.]"
    assert results == ["[42]", "[42]", refused.format(20), "[42]", refused.format(19)]
    assert agent.get_usage().tool_calls == {"calculator": 3}


def test_usage_is_the_sum_of_all_queries(model: ScriptedModel) -> None:
    model.say(calls("calculator", expression="1"))
    agent = agent_of(model)
    agent.query("Hi")
    model.say("So", ModelFailed())
    with pytest.raises(ModelFailed):
        agent.query("Hi")
    usage = agent.get_usage()
    assert usage.tokens == USED + USED + Usage(100, 3)
    assert usage.tool_calls == {"calculator": 1}
    assert usage.cost_usd == Decimal(300 * 100 + 43 * 500) / 10**9


def test_after_an_error_the_history_has_the_answer_so_far(model: ScriptedModel) -> None:
    agent = agent_of(model)
    for pieces, history in (((), []), (("So far",), [("user", "Hi"), ("assistant", "So far")])):
        model.say(*pieces, ModelFailed())
        with pytest.raises(ModelFailed):
            agent.query("Hi")
        assert said(agent) == history
    assert agent.query("Again") == "Hello."


def test_a_closed_stream_ends_the_query(model: ScriptedModel) -> None:
    model.say("See.", calls("calculator", expression="1"))
    agent = agent_of(model)
    events = agent.query_stream("Hi")
    assert shown(next(events) for _ in range(2)) == ["See.", "calculator?"]
    for refused in (lambda: agent.query("Again"), agent.clear_history):
        with pytest.raises(SessionBusy):
            refused()
    events.close()
    assert [role for role, _ in said(agent)] == ["user", "assistant", "user"]
    assert agent.query("Again") == "Hello."
    assert agent.get_usage().tokens == USED + USED


@pytest.mark.parametrize(
    ("options", "stop_reason", "iterations"),
    [
        ({"max_iterations": 2}, "max_iterations", 2),
        ({"max_run_tokens": 4_000}, "max_run_tokens", 2),
        ({"max_cost_usd": Decimal("0.0003")}, "max_cost", 1),
    ],
)
def test_stops_at_a_limit(model: ScriptedModel, options: dict[str, Any], stop_reason: str, iterations: int) -> None:
    for number in range(9):
        model.say(calls("calculator", f"call_{number}", expression="1"), used=Usage(1_000, 100))
    *_, last = agent_of(model, **options).query_stream("Hi")
    assert isinstance(last, FinalResponseEvent)
    assert (last.stop_reason, last.iterations) == (stop_reason, iterations)


@pytest.mark.parametrize("pieces", [(), ("So far",)])
def test_stops_after_its_maximum_duration(model: ScriptedModel, pieces: tuple[str, ...]) -> None:
    def hang() -> None:
        assert model.streams[-1].closed.wait(60)

    model.say(*pieces, hang)
    agent, began = agent_of(model, max_seconds=1), time.monotonic()
    if pieces:
        assert shown(agent.query_stream("Hi")) == ["So far", "<max_seconds>"]
    else:
        with pytest.raises(ModelTimeout):
            agent.query("Hi")
    assert 0.9 < time.monotonic() - began < 4


def test_done_ends_a_query_that_requires_it(model: ScriptedModel) -> None:
    model.say("First.")
    model.say(calls("done", "a"), calls("calculator", "b", expression="1"))
    agent = agent_of(model, require_done_tool=True)
    *events, last = agent.query_stream("Hi")
    assert isinstance(last, FinalResponseEvent)
    assert (last.stop_reason, last.iterations) == ("done", 2)
    assert said(agent)[-1] == ("user", "[The task is closed.][1]")
    assert {"done=The task is closed.", "calculator=1"} <= set(shown(events))


def test_logs_an_unexpected_exception_of_a_tool(model: ScriptedModel, caplog: pytest.LogCaptureFixture) -> None:
    @tool("Break.")
    def broken() -> str:
        raise RuntimeError("secret")

    model.say(calls("broken"))
    with caplog.at_level(logging.ERROR, "atrium.sdk.agent"):
        assert agent_of(model, tools=[broken]).query("Hi") == "Hello."
    assert [record.getMessage() for record in caplog.records] == ["The tool broken failed."]
    assert "secret" in caplog.text
    assert "secret" not in str(model.requests)


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"model": "unknown"}, "model"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 10**9}, "max_tokens"),
        ({"max_iterations": 101}, "max_iterations"),
        ({"max_seconds": 0}, "max_seconds"),
        ({"max_run_tokens": 0}, "max_run_tokens"),
        ({"max_cost_usd": Decimal(0)}, "max_cost_usd"),
        ({"tools": [CALCULATOR, CALCULATOR]}, "tools"),
        ({"tools": [tool("Mine.", name="done")(lambda: "")]}, "tools"),
        ({"tools": [DONE], "require_done_tool": True}, "tools"),
    ],
    ids=lambda value: "" if isinstance(value, dict) else value,
)
def test_rejects_invalid_options(model: ScriptedModel, options: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationFailed) as caught:
        agent_of(model, **options)
    assert caught.value.detail.startswith(f"`{field}`: must ")


def test_rejects_an_empty_message(model: ScriptedModel) -> None:
    with pytest.raises(AtriumError, match="must not be empty"):
        agent_of(model).query(" ")
    assert model.requests == []


def test_repairs_a_loaded_history(model: ScriptedModel) -> None:
    agent = agent_of(model)
    agent.load_history([ModelMessage("assistant", (calls("calculator", expression="1"),))])
    assert agent.query("Hi") == "Hello."  # the scripted model asserts that the request is valid


def test_older_messages_are_summarised_once(model: ScriptedModel) -> None:
    turns = [
        [ModelMessage("user", (Text(f"q{at}"),)), ModelMessage("assistant", (Text("x" * 15_000),))] for at in range(20)
    ]
    config = sdk.CompactionConfig("what was asked", threshold=0.5)
    agent = agent_of(model, compaction=config)
    agent.load_history([message for turn in turns for message in turn])
    model.say("They asked q0 to q14.")
    model.say("First.")
    model.say("Second.")
    assert [agent.query("a"), agent.query("b")] == ["First.", "Second."]
    summarising, first, second = model.requests
    assert "what was asked" in str(summarising)
    for request in (first, second):
        assert "They asked q0 to q14." in str(request.messages[0])
        assert "q19" in str(request.messages)
    assert len(second.messages) == len(first.messages) + 2
    assert len(agent.messages) == 44, "the history is whole"
    assert agent.get_usage().tokens.output_tokens == 3 * USED.output_tokens


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"tools": [len]}, "decorate functions with `tool`"),
        ({"max_cost_usd": 0.5}, "must be a Decimal"),
        ({"compaction": "coding"}, "must be a CompactionConfig"),
    ],
)
def test_rejects_options_of_a_wrong_type(model: ScriptedModel, options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationFailed, match=said):
        agent_of(model, **options)


@pytest.mark.parametrize("fields", [{"threshold": 2}, {"threshold": 0}, {"contents": " "}])
def test_rejects_an_invalid_compaction(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationFailed):
        sdk.CompactionConfig(**{"contents": "names", **fields})
