"""What a model is shown of a session: whole turns, the newest that fit."""

from datetime import timedelta

from atrium.agent.history import MESSAGES_MAX, TOKENS_MAX, as_model_messages, select_history
from atrium.llm.model import Text, Thinking, ToolResult
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


def test_a_turn_that_runs_is_left_out() -> None:
    assert texts([build_run(question="now"), turn(1, "a", "b")]) == ["a", "b"]
    assert texts([]) == []


def test_a_turn_that_failed_stays() -> None:
    failed = build_run(question="a").ended(build_outcome("half", status="failed"), NOON)
    assert texts([failed]) == ["a", "half"]


def test_a_question_to_which_nothing_was_said_is_left_out() -> None:
    """The model would take it up with the next one, and what made it fail, fail again."""
    assert texts([turn(3, "now", "c"), turn(2, "poison"), turn(1, "a", "b")]) == ["a", "b", "now", "c"]


def test_at_most_100_messages_of_whole_turns() -> None:
    runs = [turn(number, f"q{number}", "a", "b") for number in range(50, 0, -1)]
    found = texts(runs)
    assert len(found) == 99 <= MESSAGES_MAX
    assert found[0] == "q18"


def test_at_most_100_000_tokens() -> None:
    long = "x" * (TOKENS_MAX * 4 * 45 // 100)
    runs = [turn(3, "d", long), turn(2, "c", long), turn(1, "b", long), turn(0, "a")]
    assert texts(runs) == ["c", long, "d", long]


def test_what_does_not_fit_hides_what_is_older() -> None:
    """A gap in the middle of a conversation would be worse than its missing beginning."""
    runs = [turn(3, "new", "answer"), turn(2, "x" * TOKENS_MAX * 5, "answer"), turn(1, "old", "answer")]
    assert texts(runs) == ["new", "answer"]


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=60))
def test_history_is_always_valid(shapes: list[tuple[int, int]]) -> None:
    runs = [turn(number, "q", *["a"] * answers, tools=tools) for number, (answers, tools) in enumerate(shapes)]
    messages = as_model_messages([*select_history(runs[::-1]), build_message("user", "now")])
    assert messages[-1].role == messages[0].role == "user"
    roles = [message.role for message in messages]
    assert roles == ["user" if number % 2 == 0 else "assistant" for number in range(len(roles))]


def test_neighbours_of_one_role_are_one_message() -> None:
    messages = [build_message("user", "a"), *build_tool_step(2), build_message("user", "b")]
    merged = as_model_messages(messages)
    assert [message.role for message in merged] == ["user", "assistant", "user"]
    assert [type(block) for block in merged[2].content] == [ToolResult, ToolResult, Text], "results come first"


def test_thoughts_go_along_for_the_adapter_to_decide() -> None:
    message = build_message("assistant", Thinking("hm", "sig"), "So.")
    assert as_model_messages([message])[0].content == message.content
