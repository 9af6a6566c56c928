"""Invalid data from a provider is repaired, is reported to the model, or causes a model error."""

import json
from typing import Any

import httpx2
import pytest
from atrium.kernel.errors import ModelFailed
from atrium.llm.model import Completed, ModelMessage, ModelRequest, Text, TextDelta, ToolResult, ToolUse, Usage
from atrium.llm.normalise import BAD_NAME, DEPTH_MAX, NOT_AN_OBJECT, NOT_FINITE, NOT_JSON, TOO_DEEP
from atrium.llm.tokens import estimate_prompt_tokens

from tests.builders.upstream import (
    HELLO,
    START,
    STOP,
    answer,
    broken,
    called,
    closed,
    opened,
    piece,
    provider_over,
    reason,
    said,
    texts,
)

ESTIMATE = estimate_prompt_tokens(HELLO)


@pytest.mark.parametrize(
    ("pieces", "told"),
    [
        (("\ud83d", "\ude00"), "😀"),
        (("a\ud83d", "\ude00b"), "a😀b"),
        (("\ud83d\ude00",), "😀"),
        (("\ud83d",), "\ufffd"),
        (("\ud83d", "x"), "\ufffdx"),
        (("\ude00\ud83d",), "\ufffd\ufffd"),
        (("\ud83d", "\ud83d", "\ude00"), "\ufffd😀"),
        (("\ufffd", "é\0"), "\ufffdé\0"),
    ],
)
def test_joins_surrogate_pairs_to_valid_utf_8(pieces: tuple[str, ...], told: str) -> None:
    deltas, end = answer(*texts(*pieces), reason("end_turn"), STOP)
    assert "".join(each.text for each in deltas if isinstance(each, TextDelta)) == told
    assert end.content == (Text(told),)


def test_drops_the_signature_of_changed_thinking() -> None:
    """The signature is valid only for the original text."""
    thought = (opened(0, type="thinking", thinking="", signature="s"), piece(0, "thinking_delta", thinking="\ud83d"))
    _, end = answer(START, *thought, closed(0), *said("So.", 1), reason("end_turn"), STOP)
    assert end.content == (Text("So."),)


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = {"a": value}
    return value


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ('{"a": NaN}', NOT_FINITE),
        ('{"a": -Infinity}', NOT_FINITE),
        ('{"a": 1e999}', NOT_FINITE),
        ('{"a": ' + "9" * 400 + "}", NOT_FINITE),
        ('{"a": ' + "9" * 5_000 + "}", NOT_JSON),
        (json.dumps(nested(DEPTH_MAX + 1)), TOO_DEEP),
        (json.dumps(nested(255)), TOO_DEEP),
        ('{"a":' * 100_000, NOT_JSON),
        ('{"a":', NOT_JSON),
        ("[1]", NOT_AN_OBJECT),
        ("null", NOT_AN_OBJECT),
        (json.dumps(nested(DEPTH_MAX)), ""),
        ("", ""),
        (" ", ""),
    ],
    ids=lambda value: str(value)[:20],
)
def test_invalid_arguments_fail_only_their_tool_call(arguments: str, problem: str) -> None:
    _, end = answer(START, *called(arguments), reason("tool_use"), STOP)
    (call,) = end.content
    assert isinstance(call, ToolUse)
    assert (call.problem, end.stop_reason) == (problem, "tool_use")
    json.dumps(call.input, allow_nan=False)


@pytest.mark.parametrize(
    ("whole", "problem"),
    [({"a": 1}, ""), ({"a": nested(50)}, TOO_DEEP), ([1], NOT_AN_OBJECT), ("x", NOT_AN_OBJECT), (None, ""), ({}, "")],
)
def test_accepts_arguments_in_one_piece(whole: Any, problem: str) -> None:
    block = (opened(0, type="tool_use", id="t", name="calculator", input=whole), closed(0))
    _, end = answer(START, *block, reason("tool_use"), STOP)
    (call,) = end.content
    assert isinstance(call, ToolUse)
    assert call.problem == problem
    assert call.input == whole if whole == {"a": 1} else True


@pytest.mark.parametrize("call_id", [None, "", "a b", "é", 5, {}, "x" * 200])
def test_repairs_tool_call_ids(call_id: object) -> None:
    _, end = answer(START, *called("{}", call_id=call_id), reason("tool_use"), STOP)
    (call,) = end.content
    assert isinstance(call, ToolUse)
    assert call.id.startswith("call_")
    assert call.problem == ""


def test_makes_tool_call_ids_unique() -> None:
    before = (
        ModelMessage("assistant", (ToolUse("toolu_1", "n", {}),)),
        ModelMessage("user", (ToolResult("toolu_1", "1"),)),
    )
    request = ModelRequest("claude-haiku-5-5", "", (*HELLO.messages, *before), 100)
    _, end = answer(START, *called("{}"), *called("{}", 1), *called("{}", 2, call_id="b"), reason("tool_use"), STOP,
                    request=request)  # fmt: skip
    ids = [call.id for call in end.content if isinstance(call, ToolUse)]
    assert len({*ids, "toolu_1"}) == 4
    assert ids[2] == "b"


@pytest.mark.parametrize(
    ("name", "kept"),
    [("a b", "a_b"), ("", "invalid_name"), (None, "invalid_name"), ({}, "invalid_name"), ("é", "invalid_name"),
     ("x" * 65, "x" * 64), ("x" * 300, "x" * 64), ("current time", "current_time"), ("calculator\n", "calculator")],
)  # fmt: skip
def test_repairs_invalid_tool_names_without_calling_them(name: object, kept: str) -> None:
    _, end = answer(START, *called("{}", name=name), reason("tool_use"), STOP)
    (call,) = end.content
    assert isinstance(call, ToolUse)
    assert (call.name, call.problem) == (kept, BAD_NAME)


@pytest.mark.parametrize("stop", ["end_turn", "stop_sequence", "pause_turn", "a_reason_of_the_future", "tool_use"])
def test_executes_a_complete_call_whatever_the_stop_reason(stop: str) -> None:
    _, end = answer(START, *said("I will."), *called('{"a": 1}', 1), reason(stop), STOP)
    assert end == Completed((Text("I will."), ToolUse("toolu_1", "calculator", {"a": 1})), "tool_use", Usage(9, 5))


def test_fails_on_stop_reason_tool_use_without_a_call() -> None:
    assert "no tool call" in broken(START, *said("I will."), reason("tool_use"), STOP)


USAGES: list[tuple[object, object, Usage, bool]] = [
    ({"input_tokens": 9, "output_tokens": 1}, {"output_tokens": 5}, Usage(9, 5), False),
    ({"input_tokens": 9}, {"output_tokens": 5.0}, Usage(9, 5), False),
    ({"input_tokens": 0}, {"input_tokens": 9, "output_tokens": 5}, Usage(9, 5), False),
    (
        {"input_tokens": 0, "cache_read_input_tokens": 7, "cache_creation_input_tokens": 8},
        {"output_tokens": 5},
        Usage(0, 5, 7, 8),
        False,
    ),
    ({"input_tokens": 60_005, "output_tokens": 1}, {"input_tokens": 0, "output_tokens": 0}, Usage(60_005, 2), True),
    ({"input_tokens": 9, "output_tokens": 70}, {"output_tokens": 5}, Usage(9, 70), True),
    ({"input_tokens": 9}, {"output_tokens": 0}, Usage(9, 2), True),
    ({"input_tokens": 9, "output_tokens": 1}, None, Usage(9, 2), True),
    ({"input_tokens": 0, "output_tokens": 0}, {"output_tokens": 5}, Usage(ESTIMATE, 5), True),
    (None, {"output_tokens": 5}, Usage(ESTIMATE, 5), True),
    (None, None, Usage(ESTIMATE, 2), True),
    ([], "", Usage(ESTIMATE, 2), True),
]
BAD_FIGURES: list[object] = [
    None,
    -1,
    -1_000_000,
    5.5,
    float("nan"),
    float("inf"),
    10**30,
    1_000_001,
    "9",
    True,
    [],
    {},
]


@pytest.mark.parametrize(("first", "last", "used", "estimated"), USAGES)
def test_estimates_missing_usage(first: object, last: object, used: Usage, estimated: bool) -> None:
    start = {"type": "message_start", "message": {"usage": first}}
    end = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": last}
    _, done = answer(start, *said("Hello."), end, STOP)
    assert (done.usage, done.usage.estimated) == (used, estimated)


@pytest.mark.parametrize("figure", BAD_FIGURES, ids=str)
def test_ignores_impossible_usage_figures(figure: object) -> None:
    names = ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
    usage = dict.fromkeys(names, figure)
    start = {"type": "message_start", "message": {"usage": usage}}
    end = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": usage}
    _, done = answer(start, *said("Hello."), end, STOP)
    assert (done.usage, done.usage.estimated) == (Usage(ESTIMATE, 2), True)


def test_a_rejected_call_has_no_usage() -> None:
    stream = provider_over(lambda _request: httpx2.Response(401)).open(HELLO, deadline_seconds=5)
    with pytest.raises(ModelFailed):
        list(stream)
    assert (stream.usage, stream.usage.estimated) == (Usage(), False)
