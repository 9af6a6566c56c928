"""Conditions that stop an agent loop early: limits, failures, and a cancellation at any point."""

import threading
from dataclasses import replace

import pytest
from atrium.agent.loop import AgentLoop
from atrium.kernel.errors import ModelFailed, ModelTimeout
from atrium.llm.model import Text, ToolResult, Usage
from atrium.llm.tokens import bound_tokens
from atrium.quotas.model import Estimate
from atrium.runs.heartbeat import StopCause, StopSignal
from atrium.runs.model import RunBudget, Spend, answer_text
from atrium.tools.calculator import CALCULATOR
from atrium.tools.registry import ToolRegistry

from tests.builders.loops import LoopBench, show, tool
from tests.builders.scripted import CUT, ScriptedStream, calls, reply

CAUSES: list[StopCause] = ["cancelled", "max_seconds", "lost"]


@pytest.fixture
def bench() -> LoopBench:
    return LoopBench()


def ask_for_ever(bench: LoopBench) -> None:
    bench.model.replies = [reply("More.", calls("calculator", expression="1")) for _ in range(200)]


def noted(made: list[str]) -> str:
    made.append("paid")
    return "paid"


def run(loop: AgentLoop) -> list[str]:
    shown = [show(event) for event in loop.run()]
    assert loop.text == answer_text(loop.messages)
    return shown


def test_stops_at_the_iteration_limit_with_all_calls_answered(bench: LoopBench) -> None:
    ask_for_ever(bench)
    loop = bench.loop(max_iterations=3)
    run(loop)
    assert (loop.stop_reason, loop.iterations, len(bench.model.requests)) == ("max_iterations", 3, 3)
    assert loop.messages[-1].role == "tool"


def test_never_exceeds_the_money_limit(bench: LoopBench) -> None:
    """A call costs 100 × 100 + 20 × 500 nano-dollars. Before a call, the loop checks the maximum cost of the call."""
    ask_for_ever(bench)
    loop = bench.loop(max_cost_nanos=3_000_000, max_iterations=200)
    run(loop)
    assert loop.stop_reason == "max_cost"
    assert 0 < loop.spend.cost_nanos == loop.iterations * 20_000 <= 3_000_000
    longest = [request.max_tokens for request in bench.model.requests]
    assert longest[0] == 4_096
    assert 16 <= longest[-1] < 4_096


def test_never_exceeds_the_token_limit(bench: LoopBench) -> None:
    bench.tools = ToolRegistry([CALCULATOR])
    ask_for_ever(bench)
    loop = bench.loop(max_tokens=6_000, answer_tokens=3_000)
    run(loop)
    assert loop.stop_reason == "max_run_tokens"
    assert loop.iterations >= 2
    assert loop.spend.total_tokens <= 6_000
    for request in bench.model.requests:
        assert bound_tokens(request) + request.max_tokens <= 6_000


def test_does_not_call_the_model_if_no_answer_fits(bench: LoopBench) -> None:
    tokens, cost = bench.loop(max_tokens=50), bench.loop(max_cost_nanos=1_000)
    for loop, stop in ((tokens, "max_run_tokens"), (cost, "max_cost")):
        assert run(loop) == []
        assert (loop.stop_reason, loop.iterations, bench.model.requests) == (stop, 0, [])


ESTIMATE = Estimate(100, 10_000, 4_096, 500)


@pytest.mark.parametrize("used", [Usage(100, 0), Usage(0, 100), Usage(0, 0, 100, 0), Usage(0, 0, 0, 100)])
def test_every_kind_of_token_counts(used: Usage) -> None:
    budget = RunBudget(20, 280, max_tokens=300)
    assert budget.fit(ESTIMATE, Spend(used)) == replace(ESTIMATE, output_tokens=100)
    assert budget.fit(ESTIMATE, Spend(used + Usage(85))) == "max_run_tokens"


def test_a_budget_without_limits_never_stops() -> None:
    spend = Spend(Usage(10**9, 10**9), {}, 10**15)
    assert RunBudget(20, 280).fit(ESTIMATE, spend) == ESTIMATE


@pytest.mark.parametrize("cause", CAUSES)
def test_a_loop_stopped_before_its_start_calls_no_model(bench: LoopBench, cause: StopCause) -> None:
    bench.signal.stop(cause)
    loop = bench.loop()
    assert run(loop) == []
    assert (loop.stop_reason, loop.messages, bench.model.requests, loop.spend) == (cause, [], [], Spend())


@pytest.mark.parametrize("cause", CAUSES)
def test_a_loop_stopped_during_an_answer_keeps_text_and_usage(bench: LoopBench, cause: StopCause) -> None:
    bench.model.say("One, ", "two, ", lambda: bench.signal.stop(cause), "never said")
    loop = bench.loop()
    assert run(loop) == ["One, ", "two, "]
    assert loop.stop_reason == cause
    assert [message.content for message in loop.messages] == [(Text("One, two, "),)]
    assert loop.spend.tokens == CUT
    assert bench.model.streams[0].closed.is_set()


def test_a_loop_stopped_before_the_first_text_has_none(bench: LoopBench) -> None:
    bench.model.say(lambda: bench.signal.stop("cancelled"), "never said")
    loop = bench.loop()
    assert run(loop) == []
    assert (loop.messages, loop.stop_reason, loop.spend.tokens) == ([], "cancelled", CUT)


def test_ignores_the_error_of_a_cancelled_model_call(bench: LoopBench) -> None:
    bench.model.say("One, ", lambda: bench.signal.stop("cancelled"), ModelFailed())
    loop = bench.loop()
    assert run(loop) == ["One, "]
    assert loop.stop_reason == "cancelled"


def test_a_loop_stopped_during_tools_answers_their_calls(bench: LoopBench) -> None:
    release = threading.Event()
    bench.tools = ToolRegistry([tool("quick", lambda: "done"), tool("endless", lambda: str(release.wait(60)))])
    bench.model.say(calls("quick", "a"), calls("endless", "b"), calls("endless", "c"))
    loop = bench.loop()
    shown = []
    for event in loop.run():
        shown.append(show(event))
        if shown[-1] == "quick=done":
            bench.signal.stop("cancelled")
    release.set()
    assert shown == ["quick?", "endless?", "endless?", "quick=done", "endless!", "endless!"]
    assert loop.stop_reason == "cancelled"
    contents = [block.content for block in loop.messages[1].content if isinstance(block, ToolResult)]
    assert contents[0] == "done"
    assert contents[1] == contents[2] == "The run was stopped before this tool had answered."
    assert len(bench.model.requests) == 1


def test_a_loop_stopped_before_tools_calls_none(bench: LoopBench) -> None:
    made: list[str] = []
    bench.tools = ToolRegistry([tool("pay", lambda: noted(made))])
    bench.model.say(calls("pay"))
    loop = bench.loop()
    for event in loop.run():
        if show(event) == "pay?":
            bench.signal.stop("cancelled")
    assert (made, loop.stop_reason) == ([], "cancelled")
    assert [message.role for message in loop.messages] == ["assistant", "tool"]


@pytest.mark.parametrize("failure", [ModelFailed(), ModelTimeout()], ids=lambda error: type(error).__name__)
def test_a_failed_loop_keeps_its_earlier_output(bench: LoopBench, failure: Exception) -> None:
    bench.model.say("A", calls("calculator", expression="1"))
    bench.model.say("Half of", failure)
    loop = bench.loop()
    with pytest.raises(type(failure)):
        run(loop)
    assert [message.text for message in loop.messages] == ["A", "", "Half of"]
    assert loop.spend.tokens == Usage(100, 20) + CUT
    assert loop.text == "A\n\nHalf of"


def test_a_stream_that_ends_without_completing_is_a_failure(bench: LoopBench) -> None:
    bench.model.say("Half of", completes=False)
    loop = bench.loop()
    with pytest.raises(ModelFailed):
        run(loop)
    assert loop.messages[0].text == "Half of"


def test_closes_the_model_call_if_its_reader_stops(bench: LoopBench) -> None:
    bench.model.say("One, ", "two")
    loop = bench.loop()
    pieces = loop.run()
    next(pieces)
    pieces.close()
    assert bench.model.streams[0].closed.is_set()
    assert loop.spend.tokens == CUT
    assert loop.messages[0].text == "One, "


def test_spend_is_available_during_a_call(bench: LoopBench) -> None:
    seen: list[Spend] = []
    loop = bench.loop()
    bench.model.say("A", calls("calculator", expression="1"))
    bench.model.say("B", lambda: seen.append(loop.spend))
    run(loop)
    assert seen[0].tokens == Usage(100, 20) + CUT
    assert seen[0].cost_nanos == 20_000 + 100 * 100 + 3 * 500
    assert loop.spend.tokens == Usage(200, 40)


def test_keeps_the_first_stop_reason() -> None:
    signal = StopSignal()
    assert not signal.wait(0)
    signal.stop("max_seconds")
    signal.stop("cancelled")
    assert signal.cause == "max_seconds"
    assert signal.wait(0)


def test_closes_a_call_that_starts_after_the_stop() -> None:
    signal = StopSignal()
    signal.stop("cancelled")
    stream = ScriptedStream(reply("never"), "scripted")
    with signal.closing(stream):
        assert list(stream) == []
    assert stream.closed.is_set()
