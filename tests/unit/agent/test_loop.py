"""The loop: model, tools, model, until done; its messages are a valid history at every moment."""

import threading

import pytest
from atrium.agent.history import as_model_messages
from atrium.agent.loop import REFUSAL, AgentLoop
from atrium.agent.wire import answer_text
from atrium.llm.model import StopReason, Text, Thinking, ToolResult, ToolUse, Usage
from atrium.runs.model import Spend
from atrium.tools.done import DONE, REMINDER
from atrium.tools.model import ToolRefusal, ToolRetry
from atrium.tools.registry import ToolRegistry

from tests.builders.loops import MODEL, LoopBench, show, tool
from tests.builders.scripted import ScriptedModel, calls


@pytest.fixture
def bench() -> LoopBench:
    return LoopBench()


def noted(made: list[str]) -> str:
    made.append("paid")
    return "paid"


def run(loop: AgentLoop) -> list[str]:
    """Run a loop to its end; what it yields, and that its text is what its messages say."""
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
    assert {schema.name for schema in request.tools} == {"calculator", "current_time"}


def test_thinking_is_shown_and_kept_with_its_signature(bench: LoopBench) -> None:
    bench.model.say(Thinking("hm", "signature"), "So.")
    loop = bench.loop()
    assert run(loop) == ["(hm)", "So."]
    assert loop.messages[0].content == (Thinking("hm", "signature"), Text("So."))


def test_a_tool_is_called_and_its_result_given_back(bench: LoopBench) -> None:
    bench.model.say("Let me see.", calls("calculator", expression="6*7"))
    bench.model.say("42.")
    loop = bench.loop()
    assert run(loop) == ["Let me see.", "calculator?", "calculator=42", "\n\n", "42."]
    assert (loop.iterations, roles(loop)) == (2, ["assistant", "tool", "assistant"])
    assert loop.spend.tool_calls == {"calculator": 1}
    assert loop.spend.tokens == Usage(200, 40)
    results = bench.model.requests[1].messages[-1]
    assert (results.role, results.content) == ("user", (ToolResult("call_1", "42"),))


def test_tools_of_one_step_run_side_by_side_and_are_answered_in_order(bench: LoopBench) -> None:
    meeting = threading.Barrier(3, timeout=5)
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


def test_an_answer_that_is_late_comes_after_one_that_is_quick(bench: LoopBench) -> None:
    quick_is_done = threading.Event()
    bench.tools = ToolRegistry([tool("slow", lambda: str(quick_is_done.wait(5))), tool("quick", lambda: "now")])
    bench.model.say(calls("slow", "a"), calls("quick", "b"))
    shown = []
    for event in bench.loop().run():
        shown.append(show(event))
        if shown[-1] == "quick=now":
            quick_is_done.set()
    assert shown[:4] == ["slow?", "quick?", "quick=now", "slow=True"]


def test_an_unknown_tool_is_answered_and_not_counted(bench: LoopBench) -> None:
    bench.model.say(calls("teleport"))
    loop = bench.loop()
    assert run(loop)[:2] == ["teleport?", "teleport!"]
    assert loop.messages[1].content == (ToolResult("call_1", "There is no tool named teleport.", is_error=True),)
    assert loop.spend.tool_calls == {}
    assert loop.stop_reason == "end_turn"


@pytest.mark.parametrize(
    "error", [RuntimeError("secret"), ToolRetry("other"), ToolRefusal("no")], ids=lambda e: type(e).__name__
)
def test_a_tool_that_fails_is_answered_and_the_loop_goes_on(bench: LoopBench, error: Exception) -> None:
    def fail() -> str:
        raise error

    bench.tools = ToolRegistry([tool("broken", fail)])
    bench.model.say(calls("broken"))
    loop = bench.loop()
    assert run(loop) == ["broken?", "broken!", "Hello."]
    assert "secret" not in str(loop.messages)
    assert loop.spend.tool_calls == {"broken": 1}


@pytest.mark.parametrize("stop", ["max_tokens", "stop_sequence", "pause_turn", "context_overflow"])
def test_the_models_own_reasons_end_the_loop(bench: LoopBench, stop: StopReason) -> None:
    bench.model.say("So far", stop=stop)
    loop = bench.loop()
    run(loop)
    assert (loop.stop_reason, loop.text) == (stop, "So far")


def test_an_answer_without_content_is_no_message(bench: LoopBench) -> None:
    bench.model.say(stop="end_turn")
    loop = bench.loop()
    assert run(loop) == []
    assert (loop.messages, loop.stop_reason) == ([], "end_turn")


@pytest.mark.parametrize("stop", ["max_tokens", "refusal"])
def test_calls_of_an_answer_that_was_cut_off_are_answered_but_never_made(bench: LoopBench, stop: StopReason) -> None:
    made: list[str] = []
    bench.tools = ToolRegistry([tool("pay", lambda: noted(made))])
    bench.model.say("I will.", calls("pay"), stop=stop)
    loop = bench.loop()
    assert run(loop)[:3] == ["I will.", "pay?", "pay!"]
    assert (made, loop.stop_reason, loop.iterations) == ([], stop, 1)
    assert loop.spend.tool_calls == {}
    assert roles(loop)[:2] == ["assistant", "tool"]


@pytest.mark.parametrize("said", [(), ("I cannot",)])
def test_a_refusal_is_answered_kindly(bench: LoopBench, said: tuple[str, ...]) -> None:
    bench.model.say(*said, stop="refusal")
    loop = bench.loop()
    shown = run(loop)
    assert loop.stop_reason == "refusal"
    assert shown[-1] == REFUSAL
    assert loop.text == "\n\n".join([*said, REFUSAL])


def test_a_refusal_after_a_step_is_answered_kindly_too(bench: LoopBench) -> None:
    bench.model.say("First.", calls("calculator", expression="1"))
    bench.model.say(stop="refusal")
    loop = bench.loop()
    assert run(loop)[-2:] == ["\n\n", REFUSAL]
    assert roles(loop) == ["assistant", "tool", "assistant"]


def test_done_ends_the_task_after_its_whole_step(bench: LoopBench) -> None:
    bench.tools = bench.tools.add(DONE)
    bench.model.say("There.", calls("done", "a", summary="all"), calls("calculator", "b", expression="1+1"))
    loop = bench.loop(require_done_tool=True)
    shown = run(loop)
    assert sorted(shown[1:]) == sorted(["done?", "calculator?", "done=The task is closed.", "calculator=2"])
    assert (loop.stop_reason, loop.iterations) == ("done", 1)


def test_an_agent_that_must_say_done_is_reminded(bench: LoopBench) -> None:
    bench.tools = bench.tools.add(DONE)
    bench.model.say("I think that is all.")
    bench.model.say("Indeed.", calls("done"))
    loop = bench.loop(require_done_tool=True)
    assert run(loop) == ["I think that is all.", "\n\n", "Indeed.", "done?", "done=The task is closed."]
    assert loop.messages[1].role == "tool"
    assert loop.messages[1].text == REMINDER
    assert bench.model.requests[1].messages[-1].content == (Text(REMINDER),)


def test_an_agent_that_never_says_done_is_stopped(bench: LoopBench) -> None:
    bench.tools = bench.tools.add(DONE)
    loop = bench.loop(require_done_tool=True, max_iterations=3)
    run(loop)
    assert (loop.stop_reason, loop.iterations) == ("max_iterations", 3)
    assert loop.text == "Hello.\n\nHello.\n\nHello."


def test_done_means_nothing_where_it_is_not_offered(bench: LoopBench) -> None:
    bench.model.say(calls("done"))
    loop = bench.loop()
    assert run(loop) == ["done?", "done!", "Hello."]
    assert loop.stop_reason == "end_turn"


def test_text_of_silent_steps_is_parted_once(bench: LoopBench) -> None:
    bench.model.say("A", calls("calculator", expression="1"))
    bench.model.say(calls("calculator", expression="2"))
    bench.model.say("B")
    loop = bench.loop()
    run(loop)
    assert loop.text == "A\n\nB"


def test_a_loop_without_a_first_word_does_not_begin_with_a_gap(bench: LoopBench) -> None:
    bench.model.say(calls("calculator", expression="1"))
    bench.model.say("B")
    loop = bench.loop()
    assert run(loop)[-1] == "B"
    assert loop.text == "B"


def test_a_step_that_breaks_off_still_answers_its_calls(bench: LoopBench) -> None:
    """Whoever reads the events may go away at any of them."""
    bench.model.say("See:", calls("calculator", "a", expression="1"), calls("calculator", "b", expression="2"))
    loop = bench.loop()
    pieces = loop.run()
    assert [show(next(pieces)) for _ in range(2)] == ["See:", "calculator?"]
    pieces.close()
    assert roles(loop) == ["assistant", "tool"]
    results = loop.messages[1].content
    assert all(isinstance(block, ToolResult) and block.is_error for block in results)
    assert len(results) == 2


def test_messages_can_be_shown_to_a_model_again(bench: LoopBench) -> None:
    bench.model.say("A", calls("calculator", "a", expression="1"), calls("nothing", "b"))
    loop = bench.loop()
    run(loop)
    messages = as_model_messages(loop.messages, before=loop.given.history)
    assert [message.role for message in messages] == ["user", "assistant", "user", "assistant"]
    assert [type(block) for block in messages[1].content] == [Text, ToolUse, ToolUse]


def test_each_call_is_priced_by_itself() -> None:
    """Beyond 100 000 tokens of prompt all of a call costs five times as much; their sum is no such call."""
    bench = LoopBench(ScriptedModel())
    bench.model.say("A", calls("calculator", expression="1"), used=Usage(60_000, 10))
    bench.model.say("B", used=Usage(60_000, 10))
    loop = bench.loop()
    run(loop)
    assert loop.spend.cost_nanos == 2 * (60_000 * 100 + 10 * 500)
