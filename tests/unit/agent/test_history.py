"""The history that is sent to a model: the newest complete turns that fit."""

from datetime import timedelta

import pytest
from atrium.agent.context import TOKENS_MAX, as_model_messages, select_history
from atrium.llm.model import Text, Thinking, ToolResult, ToolUse
from atrium.runs.model import Run
from hypothesis import given
from hypothesis import strategies as st

from tests.builders.records import build_message, build_outcome, build_run, build_tool_step
from tests.builders.runtimes import NOON


def turn(number: int, question: str, *answers: str, tools: int = 0) -> Run:
    run = build_run(at=NOON + timedelta(seconds=number), question=question)
    steps = build_tool_step(tools) if tools else ()
    messages = (*steps, *(build_message("assistant", answer) for answer in answers))
    return run.ended(build_outcome(messages=messages), NOON)


def texts(runs: list[Run]) -> list[str]:
    return [message.text for message in select_history(runs)]


def test_oldest_first() -> None:
    assert texts([turn(2, "c", "d"), turn(1, "a", "b")]) == ["a", "b", "c", "d"]


def test_omits_a_running_turn() -> None:
    assert texts([build_run(question="now"), turn(1, "a", "b")]) == ["a", "b"]
    assert texts([]) == []


def test_keeps_a_failed_turn() -> None:
    failed = build_run(question="a").ended(build_outcome("half", status="failed"), NOON)
    assert texts([failed]) == ["a", "half"]


def test_omits_a_question_without_an_answer() -> None:
    """Otherwise the model would answer the old question, and a question that caused a failure could cause another."""
    assert texts([turn(3, "now", "c"), turn(2, "poison"), turn(1, "a", "b")]) == ["a", "b", "now", "c"]


def rounds(number: int, count: int, result: str = "2") -> Run:
    """Return a turn with `count` rounds of tool calls."""
    steps = [
        message
        for at in range(count)
        for message in (
            build_message("assistant", ToolUse(f"call_{at}", "calculator", {"expression": "1+1"})),
            build_message("tool", ToolResult(f"call_{at}", result)),
        )
    ]
    run = build_run(at=NOON + timedelta(seconds=number), question=f"q{number}")
    return run.ended(build_outcome(messages=(*steps, build_message("assistant", f"a{number}"))), NOON)


@pytest.mark.parametrize("count", [1, 50, 100])
def test_a_turn_of_many_rounds_is_shown_whole(count: int) -> None:
    found = select_history([rounds(2, count), rounds(1, count)])
    assert len(found) == 2 * (2 * count + 2)


def test_many_short_turns_are_shown() -> None:
    assert len(texts([turn(number, f"q{number}", "a", "b") for number in range(50, 0, -1)])) == 150


def test_omits_tool_rounds_of_a_newest_turn_that_is_too_large() -> None:
    """Without the text of the previous turn, the model could contradict its own answer."""
    found = select_history([rounds(2, 50, "x" * 50_000), rounds(1, 1)])
    assert [message.text for message in found if message.text] == ["q1", "a1", "q2", "a2"]
    assert len(found) == 4 + 2


def test_a_single_answer_that_is_too_large_is_cut_at_its_beginning() -> None:
    question, answer = select_history([turn(1, "q", "a" * TOKENS_MAX * 5 + "end")])
    assert question.text == "q"
    assert answer.text.startswith("[cut")
    assert answer.text.endswith("aend")
    assert len(answer.text) < TOKENS_MAX * 4


def test_at_most_100_000_tokens() -> None:
    long = "x" * (TOKENS_MAX * 4 * 45 // 100)
    runs = [turn(3, "d", long), turn(2, "c", long), turn(1, "b", long), turn(0, "a")]
    assert texts(runs) == ["c", long, "d", long]


def test_omits_all_turns_older_than_one_that_does_not_fit() -> None:
    """The history omits only the oldest turns, so that it has no gap."""
    runs = [turn(3, "new", "answer"), turn(2, "x" * TOKENS_MAX * 5, "answer"), turn(1, "old", "answer")]
    assert texts(runs) == ["new", "answer"]


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=60))
def test_history_is_always_valid(shapes: list[tuple[int, int]]) -> None:
    runs = [turn(number, "q", *["a"] * answers, tools=tools) for number, (answers, tools) in enumerate(shapes)]
    messages = as_model_messages([*select_history(runs[::-1]), build_message("user", "now")])
    assert messages[-1].role == messages[0].role == "user"
    roles = [message.role for message in messages]
    assert roles == ["user" if number % 2 == 0 else "assistant" for number in range(len(roles))]


def test_merges_adjacent_messages_of_one_role() -> None:
    messages = [build_message("user", "a"), *build_tool_step(2), build_message("user", "b")]
    merged = as_model_messages(messages)
    assert [message.role for message in merged] == ["user", "assistant", "user"]
    assert [type(block) for block in merged[2].content] == [ToolResult, ToolResult, Text], "results come first"


def test_keeps_thinking_blocks_for_the_adapter() -> None:
    message = build_message("assistant", Thinking("hm", "sig"), "So.")
    assert as_model_messages([message])[0].content == message.content
