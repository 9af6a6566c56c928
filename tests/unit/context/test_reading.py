"""Reading a session's earlier turns: the newest complete turns that the limits allow, or a summary."""

from dataclasses import replace

import pytest
from atrium.context.conversation import HISTORY_TOKENS_MAX, SUMMARY_HEADING, Conversation, open_conversation
from atrium.context.profiles import PROFILES
from atrium.kernel.ids import own_ulid
from atrium.llm.model import ModelMessage, Text
from atrium.runs.model import Run, Summary

from tests.builders.conversations import ended, recent, rounds, texts, turn
from tests.builders.records import build_message, build_outcome, build_run
from tests.builders.runtimes import NOON

DEFAULT = Conversation()


def read(*runs: Run, limits: Conversation = DEFAULT) -> list[str]:
    return texts(open_conversation(recent(runs), limits))


def test_oldest_first() -> None:
    assert read(turn(2, "c", "d"), turn(1, "a", "b")) == ["a", "b", "c", "d"]


def test_omits_a_running_turn() -> None:
    assert read(build_run(question="now"), turn(1, "a", "b")) == ["a", "b"]
    assert read() == []


def test_keeps_a_failed_turn() -> None:
    failed = build_run(question="a").ended(build_outcome("half", status="failed"), NOON)
    assert read(failed) == ["a", "half"]


def test_omits_a_question_without_an_answer() -> None:
    """Otherwise the model would answer the old question, and a question that caused a failure could cause another."""
    assert read(turn(3, "now", "c"), turn(2, "poison"), turn(1, "a", "b")) == ["a", "b", "now", "c"]


def test_reads_roles_and_blocks() -> None:
    found = open_conversation(recent([ended(1, "q", [*rounds("t", 1), build_message("assistant", "a")])]), DEFAULT)
    assert [message.role for message in found.messages((), ())] == ["user", "assistant", "user", "assistant"]


def test_at_most_100_messages_of_whole_turns() -> None:
    runs = [turn(number, f"q{number}", "a", "b") for number in range(60, 0, -1)]
    found = read(*runs)
    assert len(found) == 99
    assert found[0] == "q28"


@pytest.mark.parametrize("count", [50, 100])
def test_omits_the_oldest_rounds_of_a_turn_with_more_than_100_messages(count: int) -> None:
    """The question and the last rounds stay, so the model knows what it last did and why."""
    run = ended(2, "q", [*rounds("t", count), build_message("assistant", "a")])
    messages = open_conversation(recent([run, turn(1, "old", "answer")]), DEFAULT).messages((), ())
    assert len(messages) == 100
    assert messages[0] == ModelMessage("user", (Text("q"),))
    assert messages[-1] == ModelMessage("assistant", (Text("a"),))


def test_omits_all_turns_older_than_one_that_does_not_fit() -> None:
    """The history omits only the oldest turns, so that it has no gap."""
    runs = [turn(number, f"q{number}", "a") for number in range(9, 3, -1)]
    found = read(*runs, turn(2, "x" * HISTORY_TOKENS_MAX * 4, "a"), turn(1, "old", "a"))
    assert found[0] == "q4"


def test_cuts_long_texts_of_the_last_messages_at_their_beginning() -> None:
    question, answer = read(turn(1, "q", "a" * HISTORY_TOKENS_MAX * 5 + "end"))
    assert question == "q"
    assert answer.startswith("[cut")
    assert answer.endswith("aend")
    assert len(answer) < HISTORY_TOKENS_MAX * 3


def test_an_agent_can_set_lower_limits() -> None:
    runs = [turn(number, f"q{number}", "a") for number in range(20, 0, -1)]
    assert len(read(*runs, limits=Conversation(messages_max=10))) == 10
    few = read(*(turn(n, "x" * 300, "y" * 300) for n in range(20, 0, -1)), limits=Conversation(tokens_max=2_000))
    assert 10 <= len(few) < 20


def test_a_later_turn_begins_with_the_stored_summary() -> None:
    runs = [turn(number, f"q{number}", "a") for number in range(9, 0, -1)]
    runs[2] = turn(7, "q7", "a", summary=Summary("So far.", own_ulid(runs[4].id)))
    assert read(*runs) == [SUMMARY_HEADING + "So far.", "q6", "a", "q7", "a", "q8", "a", "q9", "a"]


def test_reading_stops_at_the_run_that_the_summary_covers() -> None:
    runs = [turn(number, f"q{number}", "a") for number in range(9, 0, -1)]
    runs[0] = turn(9, "q9", "a", summary=Summary("So far.", own_ulid(runs[1].id)))
    found = recent(runs)
    for item in found.page.items[2:]:
        item["outcome"] = b"not read"
    assert texts(open_conversation(found, DEFAULT)) == [SUMMARY_HEADING + "So far.", "q9", "a"]


def test_the_newest_of_several_summaries_is_used() -> None:
    runs = [turn(number, f"q{number}", "a", summary=Summary(f"s{number}")) for number in (2, 1)]
    assert read(*runs)[0] == SUMMARY_HEADING + "s2"


def test_omits_the_rounds_that_the_summary_covers() -> None:
    long = ended(2, "q2", [*rounds("t", 3), build_message("assistant", "a2")])
    first = turn(1, "q1", "a1")
    newest = turn(3, "q3", "a3", summary=Summary("So far.", own_ulid(first.id), partial=4))
    messages = open_conversation(recent([newest, long, first]), DEFAULT).messages((), ())
    assert [message.role for message in messages] == [
        "user",
        "user",
        "assistant",
        "user",
        *["assistant", "user"] * 1,
        "assistant",
    ]
    assert [type(block).__name__ for message in messages for block in message.content][:4] == [
        "Text", "Text", "ToolUse", "ToolResult",
    ]  # fmt: skip


def test_with_a_profile_turns_above_the_limits_are_read_to_be_summarised() -> None:
    runs = [turn(number, f"q{number}", "a") for number in range(150, 0, -1)]
    limits = replace(DEFAULT, compaction=PROFILES["coding"])
    assert len(read(*runs, limits=limits)) == 200
    assert len(read(*runs)) == 100
