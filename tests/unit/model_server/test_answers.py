"""Plain answers describe the received request and stay within its limits."""

import anthropic
import pytest

from infra.local.model_server import ModelServer
from tests.unit.model_server.builders import MODEL, ask, assistant, text_of, user

pytestmark = pytest.mark.loopback


def test_an_answer_quotes_the_message_and_counts_the_history(client: anthropic.Anthropic) -> None:
    answer = ask(client, "I live in Ghent.", assistant("Nice."), "It rains.")
    assert text_of(answer) == "You said: “It rains.” I was shown 3 messages."
    assert answer.stop_reason == "end_turn"


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("What did I say first?", "The first thing you said was: “My name is Ada.”"),
        ("what was my first message", "The first thing you said was: “My name is Ada.”"),
        ("What did I just ask?", "Before that you said: “It rains.”"),
        ("What is my name?", "Your name is Ada."),
    ],
)
def test_it_remembers(client: anthropic.Anthropic, question: str, answer: str) -> None:
    history = (user("My name is Ada."), assistant("Hello."), user("It rains."), assistant("So it does."))
    assert text_of(ask(client, *history, question)) == answer


def test_says_that_it_does_not_know(client: anthropic.Anthropic) -> None:
    assert text_of(ask(client, "What is my name?")) == "You have not told me your name."
    assert text_of(ask(client, "What did I just say?")) == "That is the first thing you said."


def test_echo_gives_the_text_without_directives(client: anthropic.Anthropic) -> None:
    assert text_of(ask(client, "[[echo]] naïve “🙂” text [[pieces=2]]")) == "naïve “🙂” text"


def test_usage_counts_the_text(client: anthropic.Anthropic) -> None:
    answer = ask(client, "[[echo]] 日本語 for nine")
    counted = client.messages.count_tokens(model=MODEL, messages=[user("[[echo]] 日本語 for nine")])
    assert answer.usage.output_tokens == 5  # 18 bytes
    assert answer.usage.input_tokens == counted.input_tokens


def test_a_string_counts_as_much_as_its_block(client: anthropic.Anthropic) -> None:
    plain = client.messages.count_tokens(model=MODEL, messages=[user("Hello.")], system="Be kind.")
    blocks = client.messages.count_tokens(
        model=MODEL,
        messages=[{"role": "user", "content": [{"type": "text", "text": "Hello."}]}],
        system=[{"type": "text", "text": "Be kind."}],
    )
    assert plain == blocks
    assert plain.input_tokens > client.messages.count_tokens(model=MODEL, messages=[user("Hello.")]).input_tokens


def test_reports_exactly_the_requested_tokens(client: anthropic.Anthropic) -> None:
    answer = ask(client, "[[echo]] go [[tokens=200]]")
    assert answer.usage.output_tokens == 200
    assert len(text_of(answer)) == 800


def test_max_tokens_cuts(client: anthropic.Anthropic) -> None:
    answer = ask(client, "[[echo]] go [[tokens=200]]", max_tokens=10)
    assert (answer.stop_reason, answer.usage.output_tokens, len(text_of(answer))) == ("max_tokens", 10, 40)


def test_max_tokens_zero_only_reads_the_prompt(client: anthropic.Anthropic) -> None:
    answer = ask(client, "Hello.", max_tokens=0)
    assert (answer.content, answer.stop_reason, answer.usage.output_tokens) == ([], "max_tokens", 0)


def test_a_stop_sequence_ends_the_answer_before_itself(client: anthropic.Anthropic) -> None:
    answer = client.messages.create(
        model=MODEL, max_tokens=100, messages=[user("[[echo]] one END two STOP")], stop_sequences=["STOP", "END"]
    )
    assert text_of(answer) == "one "
    assert (answer.stop_reason, answer.stop_sequence) == ("stop_sequence", "END")


@pytest.mark.parametrize("reason", ["max_tokens", "pause_turn", "model_context_window_exceeded"])
def test_a_stop_reason_on_demand(client: anthropic.Anthropic, reason: str) -> None:
    answer = ask(client, f"[[stop={reason}]] [[echo]] half")
    assert (answer.stop_reason, text_of(answer)) == (reason, "half")


def test_a_refusal_says_why_and_nothing_else(client: anthropic.Anthropic) -> None:
    answer = ask(client, "[[refusal=cyber]] Do harm.")
    assert (answer.stop_reason, answer.content, answer.usage.output_tokens) == ("refusal", [], 1)
    assert answer.stop_details is not None
    assert answer.stop_details.category == "cyber"


def test_a_streamed_refusal_has_no_block(client: anthropic.Anthropic) -> None:
    with client.messages.stream(model=MODEL, max_tokens=9, messages=[user("[[refusal]] Do harm.")]) as stream:
        answer = stream.get_final_message()
    assert (answer.stop_reason, answer.content) == ("refusal", [])


def test_rejects_changed_thinking(client: anthropic.Anthropic) -> None:
    first = ask(client, "Hello. [[thinking=A greeting.]]")
    assert first.content[0].type == "thinking"
    assert text_of(ask(client, "Hello.", first.to_param(), "And you?")).endswith("3 messages.")
    first.content[0].thinking = "A threat."
    with pytest.raises(anthropic.BadRequestError, match="Invalid `signature`"):
        ask(client, "Hello.", first.to_param(), "And you?")


def test_disabled_thinking_does_not_appear(client: anthropic.Anthropic) -> None:
    answer = client.messages.create(
        model=MODEL, max_tokens=100, messages=[user("[[thinking=Hm.]] Hello.")], thinking={"type": "disabled"}
    )
    assert [block.type for block in answer.content] == ["text"]


def test_cached_tokens_are_part_of_the_prompt(client: anthropic.Anthropic, server: ModelServer) -> None:
    text = "[[cache_read=5]] [[cache_write=7]] Hello."
    whole = client.messages.count_tokens(model=MODEL, messages=[user(text)]).input_tokens
    usage = ask(client, text).usage
    assert (usage.cache_read_input_tokens, usage.cache_creation_input_tokens) == (5, 7)
    assert usage.input_tokens == whole - 12
    assert (server.stats().cache_read_input_tokens, server.stats().cache_creation_input_tokens) == (5, 7)


def test_the_same_request_gives_the_same_answer(client: anthropic.Anthropic) -> None:
    first, second = (ask(client, "Hello.").model_dump(exclude={"id"}) for _ in range(2))
    assert first == second
