"""Compaction in the loop: one model call summarises older messages. It is reserved, counted, priced and can fail."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from atrium.agent.admission import AllowanceStop
from atrium.agent.loop import AgentLoop
from atrium.context.conversation import SUMMARY_HEADING, Conversation, PastTurn
from atrium.context.profiles import PROFILES
from atrium.kernel.errors import ModelFailed, ModelTimeout
from atrium.llm.catalogue import price
from atrium.llm.model import ModelRequest, Text, Thinking, ToolResult, Usage
from atrium.llm.tokens import bound_tokens
from atrium.runs.model import Spend, Summary
from atrium.tools.model import Tool
from atrium.tools.registry import ToolRegistry

from tests.builders.conversations import RoundsModel, is_summary, past, text_of
from tests.builders.loops import LoopBench, show, tool
from tests.builders.records import build_message
from tests.builders.scripted import calls

CODING = PROFILES["coding"]


def turns(number: int, size: int = 400) -> tuple[PastTurn, ...]:
    return tuple(past(at, [build_message("assistant", "x" * size)]) for at in range(number))


def looking(size: int) -> ToolRegistry:
    return ToolRegistry([tool("look", lambda: "y" * size)])


def start(bench: LoopBench, conversation: Conversation, **limits: Any) -> AgentLoop:
    loop = bench.loop(**limits)
    loop.loop_input = replace(loop.loop_input, conversation=conversation)
    return loop


@pytest.fixture
def bench() -> LoopBench:
    return LoopBench()


def test_older_messages_are_replaced_by_a_summary(bench: LoopBench) -> None:
    bench.model.say("They talked.")
    bench.model.say("Hello.")
    earlier = turns(30)
    loop = start(bench, Conversation(earlier, tokens_max=4_000, compaction=CODING))
    assert [show(event) for event in loop.run()] == ["Hello."]
    asked, sent = bench.model.requests
    assert is_summary(asked)
    assert "user: q0" in text_of(asked.messages[0])
    assert "user: q25" not in text_of(asked.messages[0])
    assert (asked.tools, asked.max_tokens) == ((), 500)
    assert sent.system == "Be brief."
    assert text_of(sent.messages[0]).startswith(SUMMARY_HEADING + "They talked.")
    assert len(sent.messages) == 11
    summary = loop.loop_input.conversation.own_summary
    assert summary == Summary("They talked.", earlier[24].ulid)
    assert (loop.text, loop.iterations, len(loop.messages)) == ("Hello.", 1, 1)


def test_the_call_is_counted_and_priced(bench: LoopBench) -> None:
    bench.model.say("They talked.", used=Usage(3_000, 40))
    bench.model.say("Hello.", used=Usage(500, 20))
    loop = start(bench, Conversation(turns(30), tokens_max=4_000, compaction=CODING))
    list(loop.run())
    cost = sum(price("claude-haiku-5-5", each, bench.clock()) for each in (Usage(3_000, 40), Usage(500, 20)))
    assert loop.spend == Spend(Usage(3_500, 60), {}, cost)


def test_below_the_threshold_nothing_is_summarised(bench: LoopBench) -> None:
    list(start(bench, Conversation(turns(20), compaction=CODING)).run())
    assert len(bench.model.requests) == 1


def test_without_a_profile_older_messages_are_left_out(bench: LoopBench) -> None:
    list(start(bench, Conversation(turns(30), tokens_max=4_000).fitted()).run())
    (sent,) = bench.model.requests
    assert 10 < len(sent.messages) < 60


@pytest.mark.parametrize(
    "fail",
    [
        lambda bench: bench.model.say(ModelFailed()),
        lambda bench: bench.model.say("Half", ModelTimeout()),
        lambda bench: bench.model.say("  "),
        lambda bench: bench.model.say("No.", stop="refusal"),
        lambda bench: bench.model.say(stop="context_overflow"),
        lambda bench: bench.model.say("Half", completes=False),
        lambda bench: bench.model.say("Look:", calls("calculator")),
    ],
)
def test_if_the_call_fails_older_messages_are_left_out(bench: LoopBench, fail: Callable[[LoopBench], None]) -> None:
    fail(bench)
    bench.model.say("Look:", calls("calculator", expression="1"))
    loop = start(bench, Conversation(turns(60), tokens_max=4_000, compaction=CODING))
    assert [show(event) for event in loop.run()][-1] == "Hello."
    assert [is_summary(request) for request in bench.model.requests] == [True, False, False], "one attempt for each run"
    assert loop.loop_input.conversation.own_summary is None
    assert not loop.loop_input.conversation.exceeds(())
    assert loop.stop_reason == "end_turn"


def test_if_the_call_is_not_allowed_older_messages_are_left_out(bench: LoopBench) -> None:
    granted: list[bool] = []

    class Stingy:
        def grant(self, request: ModelRequest, spend: Spend) -> int | AllowanceStop:
            granted.append(is_summary(request))
            return "quota_exceeded" if is_summary(request) else 100

        def refuse_tool(self, _tool: Tool[Any]) -> str | None:
            return None

    loop = start(bench, Conversation(turns(60), tokens_max=4_000, compaction=CODING))
    loop.allowance = Stingy()
    assert [show(event) for event in loop.run()] == ["Hello."]
    assert granted == [True, False]
    assert len(bench.model.requests) == 1


def test_the_stop_signal_ends_the_call_and_the_run(bench: LoopBench) -> None:
    bench.model.say("Half", lambda: bench.signal.stop("cancelled"), "and half")
    loop = start(bench, Conversation(turns(60), tokens_max=4_000, compaction=CODING))
    assert list(loop.run()) == []
    assert (loop.stop_reason, loop.iterations, loop.messages) == ("cancelled", 0, [])
    assert len(bench.model.requests) == 1
    assert loop.spend.total_tokens > 0


def test_an_answer_that_ignores_the_maximum_is_cut(bench: LoopBench) -> None:
    bench.model.say("z" * 100_000)
    loop = start(bench, Conversation(turns(60), tokens_max=4_000, compaction=CODING))
    list(loop.run())
    summary = loop.loop_input.conversation.own_summary
    assert summary is not None
    assert len(summary.text) < 5_000
    assert not loop.loop_input.conversation.exceeds(())


def test_a_run_whose_rounds_fill_the_limit_is_compacted_in_the_middle() -> None:
    model = RoundsModel(rounds=59, thinks=True)
    bench = LoopBench(model, looking(600))
    loop = start(bench, Conversation(turns(3), tokens_max=6_000, compaction=CODING), max_iterations=60)
    list(loop.run())
    assert (loop.stop_reason, loop.iterations) == ("end_turn", 60)
    summaries = [at for at, request in enumerate(model.requests) if is_summary(request)]
    assert 1 < len(summaries) < 12, "each summary makes room for several rounds"
    sent = model.requests[-1]
    assert sent.system == "Be brief."
    assert [text_of(sent.messages[0])] == [SUMMARY_HEADING + str(model.summary) + "Hi"]
    assert all(len(request.messages) < 40 for request in model.requests)
    assert len([message for message in loop.messages if message.role == "tool"]) == 59, "all messages are stored"
    summary = loop.loop_input.conversation.own_summary
    assert summary is not None
    assert summary.partial > 40
    assert loop.messages[summary.partial].role == "assistant"
    for request in model.requests[summaries[0] + 1 :]:
        signatures = [b.signature for m in request.messages for b in m.content if isinstance(b, Thinking)]
        assert all(int(each[4:]) >= summaries[0] for each in signatures), "thinking before the change is not sent"


def test_a_prompt_that_the_provider_rejects_as_too_long_is_halved_once(bench: LoopBench) -> None:
    bench.model.say(stop="context_overflow", used=Usage())
    loop = start(bench, Conversation(turns(40)))
    assert [show(event) for event in loop.run()] == ["Hello."]
    long, short = (replace(each, tools=()) for each in bench.model.requests)
    assert bound_tokens(short) < bound_tokens(long) * 0.6
    assert loop.stop_reason == "end_turn"


def test_a_second_rejection_ends_the_run(bench: LoopBench) -> None:
    for _ in range(3):
        bench.model.say(stop="context_overflow", used=Usage())
    loop = start(bench, Conversation(turns(40)))
    assert list(loop.run()) == []
    assert (loop.stop_reason, len(bench.model.requests)) == ("context_overflow", 2)


def test_a_question_that_alone_is_too_long_ends_the_run(bench: LoopBench) -> None:
    bench.model.say(stop="context_overflow", used=Usage())
    loop = start(bench, Conversation())
    assert list(loop.run()) == []
    assert (loop.stop_reason, len(bench.model.requests)) == ("context_overflow", 1)


def test_an_answer_that_reached_the_end_of_the_window_is_not_repeated(bench: LoopBench) -> None:
    bench.model.say("A long answer", stop="context_overflow")
    loop = start(bench, Conversation(turns(40)))
    assert [show(event) for event in loop.run()] == ["A long answer"]
    assert (loop.stop_reason, len(bench.model.requests)) == ("context_overflow", 1)


def test_a_rejected_prompt_is_summarised_with_a_profile(bench: LoopBench) -> None:
    bench.model.say(stop="context_overflow", used=Usage())
    bench.model.say("They talked.")
    list(start(bench, Conversation(turns(30), compaction=CODING)).run())
    assert [is_summary(request) for request in bench.model.requests] == [False, True, False]


def test_older_outputs_of_an_ephemeral_tool_are_left_out_of_the_next_request() -> None:
    model = RoundsModel(rounds=4)
    bench = LoopBench(model, ToolRegistry([replace(tool("look", lambda: "page"), ephemeral=2)]))
    loop = start(bench, Conversation(ephemeral={"look": 2}))
    list(loop.run())
    outputs = [b.content for m in model.requests[-1].messages for b in m.content if isinstance(b, ToolResult)]
    assert outputs[2:] == ["page", "page"]
    assert all("omitted" in each for each in outputs[:2])
    stored = [b.content for m in loop.messages for b in m.content if isinstance(b, ToolResult)]
    assert stored == ["page"] * 4


def test_a_model_that_calls_tools_without_end_stays_below_the_budget() -> None:
    """$0.01 includes the calls that make summaries."""
    model = RoundsModel()
    bench = LoopBench(model, looking(1_500))
    conversation = Conversation(tokens_max=4_000, compaction=CODING)
    loop = start(bench, conversation, max_iterations=100, max_cost_nanos=10_000_000, answer_tokens=1_000)
    list(loop.run())
    assert loop.stop_reason == "max_cost"
    assert any(map(is_summary, model.requests))
    assert 5_000_000 < loop.spend.cost_nanos <= 10_000_000


def test_the_summary_is_text_of_the_user(bench: LoopBench) -> None:
    bench.model.say("They talked.")
    list(start(bench, Conversation(turns(60), tokens_max=4_000, compaction=CODING)).run())
    first = bench.model.requests[-1].messages[0]
    assert first.role == "user"
    assert isinstance(first.content[0], Text)
