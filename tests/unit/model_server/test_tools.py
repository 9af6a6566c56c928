"""Tool calls are requested by a directive, a plain question or `tool_choice`. The answer contains the tool results."""

import anthropic
import pytest
from anthropic.types import Message, MessageParam, ToolChoiceParam, ToolParam, ToolResultBlockParam

from tests.unit.model_server.builders import CALCULATOR, CURRENT_TIME, MODEL, ask, text_of, user

pytestmark = pytest.mark.loopback


def calls_of(message: Message) -> list[tuple[str, dict[str, object]]]:
    return [(block.name, block.input) for block in message.content if block.type == "tool_use"]


def results(message: Message, *texts: str, is_error: bool = False) -> MessageParam:
    ids = [block.id for block in message.content if block.type == "tool_use"]
    content: list[ToolResultBlockParam] = [
        {"type": "tool_result", "tool_use_id": id_, "content": text, "is_error": is_error}
        for id_, text in zip(ids, texts, strict=True)
    ]
    return {"role": "user", "content": content}


def choose(client: anthropic.Anthropic, text: str, choice: ToolChoiceParam, *more: MessageParam) -> Message:
    return client.messages.create(
        model=MODEL,
        max_tokens=4096,
        messages=[user(text), *more],
        tools=[CALCULATOR, CURRENT_TIME],
        tool_choice=choice,
    )


def test_a_sum_is_worked_out_by_the_calculator(client: anthropic.Anthropic) -> None:
    asked = ask(client, "Please, what is 12*7?", tools=[CURRENT_TIME, CALCULATOR])
    assert asked.stop_reason == "tool_use"
    assert calls_of(asked) == [("calculator", {"expression": "12*7"})]
    answer = ask(client, "Please, what is 12*7?", asked.to_param(), results(asked, "84"), tools=[CALCULATOR])
    assert (answer.stop_reason, text_of(answer)) == ("end_turn", "12*7 = 84")


def test_two_questions_are_two_calls_in_one_answer(client: anthropic.Anthropic) -> None:
    text = "What is 2 + 2, and what time is it?"
    asked = ask(client, text, tools=[CALCULATOR, CURRENT_TIME])
    assert [name for name, _ in calls_of(asked)] == ["calculator", "current_time"]
    answer = ask(client, text, asked.to_param(), results(asked, "4", "noon"), tools=[CALCULATOR, CURRENT_TIME])
    assert text_of(answer) == "2 + 2 = 4\ncurrent_time says: noon"


def test_without_the_tool_a_sum_is_just_text(client: anthropic.Anthropic) -> None:
    assert text_of(ask(client, "what is 12*7?", tools=[CURRENT_TIME])).startswith("You said:")


def test_directives_ask_for_tools_in_parallel(client: anthropic.Anthropic) -> None:
    text = '[[tool=calculator {"expression":"6*7"}]] [[tool=search {"lists":[[1],[2]]}]] [[preface=Wait.]]'
    asked = ask(client, text, tools=[CALCULATOR])
    assert text_of(asked) == "Wait."
    assert calls_of(asked) == [("calculator", {"expression": "6*7"}), ("search", {"lists": [[1], [2]]})]
    answer = ask(
        client, text, asked.to_param(), results(asked, "42", "no such tool", is_error=True), tools=[CALCULATOR]
    )
    assert text_of(answer) == "calculator failed: 42\nsearch failed: no such tool"


def test_a_new_turn_asks_again(client: anthropic.Anthropic) -> None:
    asked = ask(client, "what is 1+1?", tools=[CALCULATOR])
    done = ask(client, "what is 1+1?", asked.to_param(), results(asked, "2"), tools=[CALCULATOR])
    history = (user("what is 1+1?"), asked.to_param(), results(asked, "2"), done.to_param())
    assert calls_of(ask(client, *history, "what is 3+3?", tools=[CALCULATOR])) == [
        ("calculator", {"expression": "3+3"})
    ]
    assert (
        text_of(ask(client, *history, "Thanks.", tools=[CALCULATOR])) == "You said: “Thanks.” I was shown 5 messages."
    )


def test_a_reminder_beside_results_does_not_begin_a_turn(client: anthropic.Anthropic) -> None:
    asked = ask(client, "what is 1+1?", tools=[CALCULATOR])
    answered = results(asked, "2")
    content = answered["content"]
    assert isinstance(content, list)
    reminded: MessageParam = {"role": "user", "content": [*content, {"type": "text", "text": "Mind the to-do list."}]}
    assert text_of(ask(client, "what is 1+1?", asked.to_param(), reminded, tools=[CALCULATOR])) == "1+1 = 2"


@pytest.mark.parametrize(("directive", "rounds"), [("[[tools_forever]]", 4), ("[[rounds=2]] what is 1+0?", 2)])
def test_rounds_of_tools(client: anthropic.Anthropic, directive: str, rounds: int) -> None:
    messages: list[MessageParam] = [user(directive)]
    asked_for = []
    for _ in range(4):
        answer = ask(client, *messages, tools=[CALCULATOR])
        if answer.stop_reason != "tool_use":
            break
        asked_for += calls_of(answer)
        messages += [answer.to_param(), results(answer, "1")]
    assert len(asked_for) == rounds


def test_one_tool_at_a_time_when_the_caller_says_so(client: anthropic.Anthropic) -> None:
    text = '[[tool=calculator {"expression":"1"}]] [[tool=current_time {}]]'
    choice: ToolChoiceParam = {"type": "auto", "disable_parallel_tool_use": True}
    first = choose(client, text, choice)
    history = (first.to_param(), results(first, "1"))
    second = choose(client, text, choice, *history)
    third = choose(client, text, choice, *history, second.to_param(), results(second, "noon"))
    assert calls_of(first) == [("calculator", {"expression": "1"})]
    assert calls_of(second) == [("current_time", {})]
    assert text_of(third) == "1 = 1\ncurrent_time says: noon"


def test_tool_choice_none_gives_text(client: anthropic.Anthropic) -> None:
    assert choose(client, "what is 1+1? [[tools_forever]]", {"type": "none"}).stop_reason == "end_turn"


def test_without_tools_directives_give_text(client: anthropic.Anthropic) -> None:
    assert ask(client, "[[tool=calculator {}]] [[tools_forever]]").stop_reason == "end_turn"


def test_a_forced_tool_is_called(client: anthropic.Anthropic) -> None:
    assert calls_of(choose(client, "Hello.", {"type": "tool", "name": "current_time"})) == [("current_time", {})]
    assert calls_of(choose(client, "Hello.", {"type": "any"})) == [("calculator", {"expression": "1+0"})]


def test_required_arguments_fit_their_schema(client: anthropic.Anthropic) -> None:
    properties: dict[str, object] = {
        "kind": {"enum": ["small", "large"]},
        "count": {"type": "integer", "minimum": 3},
        "flag": {"anyOf": [{"type": "boolean"}, {"type": "null"}]},
        "tags": {"type": "array"},
        "time_zone": {"type": "string"},
        "fixed": {"const": 7},
        "optional": {"type": "string"},
    }
    required = ["kind", "count", "flag", "tags", "time_zone", "fixed"]
    tool: ToolParam = {
        "name": "order",
        "input_schema": {"type": "object", "properties": properties, "required": required},
    }
    wanted = {"kind": "small", "count": 3, "flag": True, "tags": [], "time_zone": "UTC", "fixed": 7}
    assert calls_of(ask(client, "[[tools_forever]]", tools=[tool])) == [("order", wanted)]


def test_max_tokens_breaks_off_a_call(client: anthropic.Anthropic) -> None:
    text = '[[tool=calculator {"expression":"1111111111111111111111111+2222222222222222222222"}]]'
    cut = ask(client, text, tools=[CALCULATOR], max_tokens=10)
    assert (cut.stop_reason, cut.usage.output_tokens) == ("max_tokens", 10)
    assert calls_of(cut) == [("calculator", {})]
    with client.messages.stream(model=MODEL, max_tokens=10, messages=[user(text)], tools=[CALCULATOR]) as stream:
        pieces = "".join(event.partial_json for event in stream if event.type == "input_json")
    assert pieces == '{"expression":"111111111111111'
