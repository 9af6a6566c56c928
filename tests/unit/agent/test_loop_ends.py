"""The end of the loop: every tool call has a result, and every model call has a price."""

import pytest
from atrium.agent.loop import REFUSAL, AgentLoop, build_request
from atrium.llm.model import StopReason, Text, ToolResult, ToolUse, Usage
from atrium.runs.model import answer_text
from atrium.tools.done import DONE, REMINDER
from atrium.tools.registry import ToolRegistry

from tests.builders.loops import LoopBench, show, tool
from tests.builders.scripted import ScriptedModel, calls


@pytest.fixture
def bench() -> LoopBench:
    return LoopBench()


def noted(made: list[str]) -> str:
    made.append("paid")
    return "paid"


def run(loop: AgentLoop) -> list[str]:
    """Run a loop to its end, and return its events as texts. Assert that `loop.text` is the text of the messages."""
    shown = [show(event) for event in loop.run()]
    assert loop.text == answer_text(loop.messages)
    return shown


def roles(loop: AgentLoop) -> list[str]:
    return [message.role for message in loop.messages]


@pytest.mark.parametrize("stop", ["max_tokens", "stop_sequence", "pause_turn", "context_overflow"])
def test_the_models_own_reasons_end_the_loop(bench: LoopBench, stop: StopReason) -> None:
    bench.model.say("So far", stop=stop)
    loop = bench.loop()
    run(loop)
    assert (loop.stop_reason, loop.text) == (stop, "So far")


def test_an_empty_answer_adds_no_message(bench: LoopBench) -> None:
    bench.model.say(stop="end_turn")
    loop = bench.loop()
    assert run(loop) == []
    assert (loop.messages, loop.stop_reason) == ([], "end_turn")


@pytest.mark.parametrize("stop", ["max_tokens", "refusal"])
def test_does_not_execute_tool_calls_of_a_truncated_answer(bench: LoopBench, stop: StopReason) -> None:
    made: list[str] = []
    bench.tools = ToolRegistry([tool("pay", lambda: noted(made))])
    bench.model.say("I will.", calls("pay"), stop=stop)
    loop = bench.loop()
    assert run(loop)[:3] == ["I will.", "pay?", "pay!"]
    assert (made, loop.stop_reason, loop.iterations) == ([], stop, 1)
    assert loop.spend.tool_calls == {}
    assert roles(loop)[:2] == ["assistant", "tool"]


@pytest.mark.parametrize("said", [(), ("I cannot",)])
def test_a_refusal_gets_a_standard_text(bench: LoopBench, said: tuple[str, ...]) -> None:
    bench.model.say(*said, stop="refusal")
    loop = bench.loop()
    shown = run(loop)
    assert loop.stop_reason == "refusal"
    assert shown[-1] == REFUSAL
    assert loop.text == "\n\n".join([*said, REFUSAL])


def test_a_refusal_after_a_step_gets_a_standard_text(bench: LoopBench) -> None:
    bench.model.say("First.", calls("calculator", expression="1"))
    bench.model.say(stop="refusal")
    loop = bench.loop()
    assert run(loop)[-2:] == ["\n\n", REFUSAL]
    assert roles(loop) == ["assistant", "tool", "assistant"]


def fail() -> str:
    raise RuntimeError("secret")


SIBLINGS = {
    "works": (calls("calculator", "works", expression="1+1"), "2"),
    "unknown": (calls("teleport", "unknown"), "There is no tool named teleport."),
    "fails": (calls("broken", "fails"), "The tool failed."),
    "wrong": (calls("calculator", "wrong"), "The arguments are not valid: expression: Field required"),
    "invalid": (ToolUse("invalid", "calculator", {}, problem="not JSON"), "not JSON"),
    "again": (calls("done", "again"), "The task is closed."),
}


@pytest.mark.parametrize("at", range(len(SIBLINGS) + 1))
def test_done_ends_the_loop_after_every_call_beside_it_has_a_result(bench: LoopBench, at: int) -> None:
    """`done` is the call number `at` of its answer."""
    bench.tools = bench.tools.add(tool("broken", fail)).add(DONE)
    asked = [call for call, _ in SIBLINGS.values()]
    asked.insert(at, calls("done", "done", summary="all"))
    bench.model.say("There.", *asked)
    loop = bench.loop(require_done_tool=True)
    shown = run(loop)
    assert shown[1 : len(asked) + 1] == [f"{call.name}?" for call in asked]
    assert (loop.stop_reason, loop.iterations, roles(loop)) == ("done", 1, ["assistant", "tool"])
    results = {block.tool_use_id: block.content for block in loop.messages[1].content if isinstance(block, ToolResult)}
    assert list(results) == [call.id for call in asked]
    assert results == {name: text for name, (_, text) in SIBLINGS.items()} | {"done": "The task is closed."}


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


def test_done_has_no_effect_if_not_offered(bench: LoopBench) -> None:
    bench.model.say(calls("done"))
    loop = bench.loop()
    assert run(loop) == ["done?", "done!", "Hello."]
    assert loop.stop_reason == "end_turn"


def test_separates_texts_of_steps_once(bench: LoopBench) -> None:
    bench.model.say("A", calls("calculator", expression="1"))
    bench.model.say(calls("calculator", expression="2"))
    bench.model.say("B")
    loop = bench.loop()
    run(loop)
    assert loop.text == "A\n\nB"


def test_text_never_starts_with_a_separator(bench: LoopBench) -> None:
    bench.model.say(calls("calculator", expression="1"))
    bench.model.say("B")
    loop = bench.loop()
    assert run(loop)[-1] == "B"
    assert loop.text == "B"


def test_an_interrupted_step_still_answers_its_calls(bench: LoopBench) -> None:
    """The reader of the events may stop at any event."""
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
    messages = build_request(loop.loop_input, loop.messages).messages
    assert [message.role for message in messages] == ["user", "assistant", "user", "assistant", "user"]
    assert [type(block) for block in messages[1].content] == [Text, ToolUse, ToolUse]


def test_each_call_is_priced_by_itself() -> None:
    """A call with more than 100 000 prompt tokens costs five times as much. Prompts are not summed."""
    bench = LoopBench(ScriptedModel())
    bench.model.say("A", calls("calculator", expression="1"), used=Usage(60_000, 10))
    bench.model.say("B", used=Usage(60_000, 10))
    loop = bench.loop()
    run(loop)
    assert loop.spend.cost_nanos == 2 * (60_000 * 100 + 10 * 500)
