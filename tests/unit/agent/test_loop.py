"""The agent loop calls the model and tools until the answer is complete. Its messages are always a valid history."""

import threading
from dataclasses import replace
from functools import partial

import pytest
from atrium.agent.loop import AgentLoop
from atrium.context.reminders import Reminders
from atrium.llm.model import ModelRequest, Text, Thinking, ToolResult, Usage
from atrium.runs.model import RunBudget, Spend, answer_text
from atrium.runs.steps import Progress, Resumption, Step
from atrium.tools.model import ToolRefusal, ToolRetry
from atrium.tools.registry import BUILT_IN, ToolRegistry

from tests.builders.loops import MODEL, LoopBench, show, tool
from tests.builders.scripted import calls


@pytest.fixture
def bench() -> LoopBench:
    return LoopBench()


def run(loop: AgentLoop) -> list[str]:
    """Run a loop to its end, and return its events as texts. Assert that `loop.text` is the text of the messages."""
    shown = [show(event) for event in loop.run()]
    assert loop.text == answer_text(loop.messages)
    return shown


def roles(loop: AgentLoop) -> list[str]:
    return [message.role for message in loop.messages]


def test_a_plain_answer(bench: LoopBench) -> None:
    bench.model.say("Hel", "", "lo.", used=Usage(12, 5, 3, 2))
    loop = bench.loop()
    assert run(loop) == ["Hel", "lo."]
    assert (loop.stop_reason, loop.iterations, roles(loop)) == ("end_turn", 1, ["assistant"])
    assert loop.messages[0].content == (Text("Hello."),)
    assert loop.spend == Spend(Usage(12, 5, 3, 2), {}, 12 * 100 + 5 * 500 + 3 * 10 + 2 * 125)
    request = bench.model.requests[0]
    assert (request.model, request.system, request.max_tokens, request.temperature) == (MODEL, "Be brief.", 4_096, None)
    assert {schema.name for schema in request.tools} == {tool.name for tool in BUILT_IN}


def test_thinking_is_shown_and_kept_with_its_signature(bench: LoopBench) -> None:
    bench.model.say(Thinking("hm", "signature"), "So.")
    loop = bench.loop()
    assert run(loop) == ["(hm)", "So."]
    assert loop.messages[0].content == (Thinking("hm", "signature"), Text("So."))


def test_thinking_of_a_model_is_not_sent_to_its_fallback(bench: LoopBench) -> None:
    loop = bench.loop()
    loop.loop_input = replace(loop.loop_input, fallbacks=("claude-sonnet-5-5",))
    steps: list[Step] = []
    loop.record = steps.append
    bench.model.say(Thinking("hm", "of the model"), calls("calculator", expression="1"))
    bench.model.say(
        partial(answer_by, bench, "claude-sonnet-5-5"),
        Thinking("hm", "of its fallback"),
        calls("calculator", expression="2"),
    )
    run(loop)
    assert [signatures(request) for request in bench.model.requests] == [[], ["of the model"], ["of its fallback"]]

    progress = Progress()
    for step in steps[:-1]:
        progress = progress.after(step, bench.clock.now, {})
    resumed = bench.loop()
    resumed.loop_input = replace(resumed.loop_input, model=progress.model)
    resumed.resumption = Resumption(progress, (), (), (), {})
    list(resumed.run())
    assert signatures(bench.model.requests[-1]) == ["of its fallback"]


def answer_by(bench: LoopBench, model: str) -> None:
    bench.model.streams[-1].model = model


def signatures(request: ModelRequest) -> list[str]:
    return [b.signature for message in request.messages for b in message.content if isinstance(b, Thinking)]


def test_calls_a_tool_and_returns_its_result_to_the_model(bench: LoopBench) -> None:
    bench.model.say("Let me see.", calls("calculator", expression="6*7"))
    bench.model.say("42.")
    loop = bench.loop()
    assert run(loop) == ["Let me see.", "calculator?", "calculator=42", "\n\n", "42."]
    assert (loop.iterations, roles(loop)) == (2, ["assistant", "tool", "assistant"])
    assert loop.spend.tool_calls == {"calculator": 1}
    assert loop.spend.tokens == Usage(200, 40)
    results = bench.model.requests[1].messages[-1]
    assert (results.role, results.content) == ("user", (ToolResult("call_1", "42"),))


def test_runs_tools_of_a_step_in_parallel_and_answers_in_order(bench: LoopBench) -> None:
    meeting = threading.Barrier(3, timeout=60)
    bench.tools = ToolRegistry(tool(f"t{number}", lambda: str(meeting.wait() >= 0)) for number in range(3))
    bench.model.say(*(calls(f"t{number}", f"call_{number}") for number in range(3)))
    loop = bench.loop()
    shown = run(loop)
    assert shown[:3] == ["t0?", "t1?", "t2?"]
    assert sorted(shown[3:6]) == ["t0=True", "t1=True", "t2=True"]
    assert [block.tool_use_id for block in loop.messages[1].content if isinstance(block, ToolResult)] == [
        "call_0", "call_1", "call_2",
    ]  # fmt: skip


def test_many_calls_of_one_step_are_all_answered(bench: LoopBench) -> None:
    bench.model.say(*(calls("calculator", f"call_{number}", expression=f"{number}+0") for number in range(30)))
    loop = bench.loop()
    run(loop)
    assert [block.content for block in loop.messages[1].content if isinstance(block, ToolResult)] == [
        str(number) for number in range(30)
    ]
    assert loop.spend.tool_calls == {"calculator": 30}


def test_yields_tool_results_as_they_complete(bench: LoopBench) -> None:
    quick_is_done = threading.Event()
    bench.tools = ToolRegistry([tool("slow", lambda: str(quick_is_done.wait(60))), tool("quick", lambda: "now")])
    bench.model.say(calls("slow", "a"), calls("quick", "b"))
    shown = []
    for event in bench.loop().run():
        shown.append(show(event))
        if shown[-1] == "quick=now":
            quick_is_done.set()
    assert shown[:4] == ["slow?", "quick?", "quick=now", "slow=True"]


def test_reports_an_unknown_tool_to_the_model_without_counting_it(bench: LoopBench) -> None:
    bench.model.say(calls("teleport"))
    loop = bench.loop()
    assert run(loop)[:2] == ["teleport?", "teleport!"]
    assert loop.messages[1].content == (ToolResult("call_1", "There is no tool named teleport.", is_error=True),)
    assert loop.spend.tool_calls == {}
    assert loop.stop_reason == "end_turn"


@pytest.mark.parametrize(
    "error", [RuntimeError("secret"), ToolRetry("other"), ToolRefusal("no")], ids=lambda e: type(e).__name__
)
def test_reports_a_failed_tool_to_the_model_and_continues(bench: LoopBench, error: Exception) -> None:
    def fail() -> str:
        raise error

    bench.tools = ToolRegistry([tool("broken", fail)])
    bench.model.say(calls("broken"))
    loop = bench.loop()
    assert run(loop) == ["broken?", "broken!", "Hello."]
    assert "secret" not in str(loop.messages)
    assert loop.spend.tool_calls == {"broken": 1}


def test_a_reminder_is_sent_but_not_stored_and_thinking_that_is_bound_to_it_is_not_sent_again(bench: LoopBench) -> None:
    steps: list[Step] = []
    for at in range(3):
        bench.model.say(Thinking(f"thought {at}", "signature"), calls("calculator", f"call_{at}", expression="1+1"))
    bench.model.say("Done.")
    loop = bench.loop(max_iterations=4)
    loop.record = steps.append
    loop.loop_input = replace(loop.loop_input, reminders=Reminders(RunBudget(4, 280), frozenset({"limits"})))
    run(loop)
    reminders = [request.reminder for request in bench.model.requests]
    assert [bool(text) for text in reminders] == [False, False, True, True]
    assert "<reminder>" not in str([request.messages for request in bench.model.requests])
    assert "<reminder>" not in str(loop.messages)
    assert [thoughts_of(request) for request in bench.model.requests] == [
        [], ["thought 0"], ["thought 0", "thought 1"], []
    ]  # fmt: skip
    assert [step.thinking_from for step in steps if step.made] == [0, 0, len(loop.messages) - 2]


def test_a_resumed_run_does_not_send_thinking_that_is_bound_to_a_reminder(bench: LoopBench) -> None:
    steps: list[Step] = []
    bench.model.say(Thinking("first", "signature"), calls("calculator", expression="1+1"))
    bench.model.say(Thinking("second", "signature"), calls("calculator", "call_2", expression="1+1"))
    loop = bench.loop(max_iterations=3)
    loop.record = steps.append
    loop.loop_input = replace(loop.loop_input, reminders=Reminders(RunBudget(3, 280), frozenset({"limits"})))
    bench.model.say("Done.")
    run(loop)
    progress = Progress()
    for step in steps:
        progress = progress.after(step, bench.clock(), {})
    assert progress.thinking_from == len(progress.messages)


def thoughts_of(request: ModelRequest) -> list[str]:
    blocks = [block for message in request.messages for block in message.content]
    return [block.text for block in blocks if isinstance(block, Thinking)]
