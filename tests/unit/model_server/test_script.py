"""Parsing of directives and of plain questions."""

import pytest

from infra.local.model_server.protocol import ApiError
from infra.local.model_server.script import NAMES, Script, asked_sum, asks_time, read_script, recall
from tests.unit.model_server.builders import made_up_texts


def outcome(text: str) -> Script | ApiError:
    try:
        return read_script(text)
    except ApiError as error:
        return error


def test_directives_are_taken_out_of_the_text() -> None:
    script = read_script("Hello [[delay=0.5]] there, [[hang]][[thinking= hm, [a] ]] friend. ")
    assert script == Script(delay=0.5, hang=0, thinking="hm, [a]", said="Hello  there,  friend.")


def test_bare_breaks_keep_their_position() -> None:
    script = read_script("[[overload_midstream]][[disconnect]][[refusal]][[tools_forever]][[echo]][[overflow]]")
    assert (script.overload_midstream, script.disconnect, script.refusal) == (2, 2, "general_harms")
    assert script.tools_forever
    assert script.echo
    assert script.overflow


@pytest.mark.parametrize("text", ["[[Main Page]] and [[link]]", "if [[ -f x ]]; then", "a[[0]]", "[[", "]]"])
def test_other_brackets_are_text(text: str) -> None:
    assert read_script(text) == Script(said=text)


def test_any_text_is_read_or_refused() -> None:
    reads = {text: outcome(text) for text in made_up_texts(2000)}
    refused = [text for text, read in reads.items() if isinstance(read, ApiError)]
    assert 0 < len(refused) < len(reads)
    assert all("[[" in text for text in refused)


@pytest.mark.parametrize("name", sorted(NAMES))
def test_any_value_is_read_or_refused(name: str) -> None:
    for value in ["", "0", "1", "-1", "0.5", "1e9", "inf", "true", "end_turn", "cyber", "a {}", "[", "]", "ü"]:
        read = outcome(f"[[{name}={value}]]")
        if isinstance(read, ApiError):
            assert read.status == 400
            assert read.message.startswith("directive ")
        else:
            assert read.model_fields_set == {name, "said", "tool"}


@pytest.mark.parametrize(
    ("text", "expression"),
    [
        ("what is 12*7?", "12*7"),
        ("What's 3 plus 4 times 2?", "3+4*2"),
        ("how much is (1.5 + 2) / 7 ?", "(1.5 + 2) / 7"),
        ("Calculate 10 ÷ 4, please", "10/4"),
        ("Please compute: -3 * -(2 - 5).", "-3 * -(2 - 5)"),
        ("what is 5 minus 3 and what time is it", "5-3"),
        ("what is the result of 2*3?", "2*3"),
        ("what is 42?", None),
        ("what is love?", None),
        ("12*7", None),
        ("what is a 2x4?", None),
    ],
)
def test_sums_are_found_in_questions(text: str, expression: str | None) -> None:
    assert asked_sum(text) == expression


@pytest.mark.parametrize(
    "text", ["What time is it?", "what's the time", "Tell me the current time.", "What day is it?"]
)
def test_the_time_is_asked_for(text: str) -> None:
    assert asks_time(text)


@pytest.mark.parametrize("text", ["Time flies.", "It is the first time.", "What time does the train leave?"])
def test_the_time_is_not_asked_for(text: str) -> None:
    assert not asks_time(text)


@pytest.mark.parametrize(
    "question",
    [
        "What did I say first?",
        "What was my very first question?",
        "Repeat the first thing that I said.",
        "Did I ask first?",
    ],
)
def test_the_first_message_is_asked_for(question: str) -> None:
    assert recall(["Hello.", "It rains.", question]) == "The first thing you said was: “Hello.”"


@pytest.mark.parametrize("text", ["It rains.", "First, tell me a story.", "Did I say that it rains?", "Call me later."])
def test_other_texts_recall_nothing(text: str) -> None:
    assert recall(["My name is Ada.", text]) is None


def test_a_long_message_is_quoted_in_part() -> None:
    recalled = recall(["x" * 201, "What did I say first?"])
    assert recalled == f"The first thing you said was: “{'x' * 200}…”"


def test_an_empty_conversation_recalls_nothing() -> None:
    assert recall([]) is None
