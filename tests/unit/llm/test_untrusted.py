"""What a provider may send wrongly, and what becomes of it: repaired, told to the model, or a failure of the model."""

import json
from typing import Any

import httpx2
import pytest
from atrium.kernel.errors import ModelFailed
from atrium.llm.answer import ANSWER_BYTES_MAX, BLOCKS_MAX
from atrium.llm.anthropic.channel import ERROR_BYTES_MAX
from atrium.llm.bounds import estimate_prompt_tokens
from atrium.llm.model import Completed, Message, ModelEvent, ModelRequest, Text, TextDelta, ToolResult, ToolUse, Usage
from atrium.llm.normalise import BAD_NAME, DEPTH_MAX, NOT_AN_OBJECT, NOT_FINITE, NOT_JSON, TOO_DEEP

from tests.builders.upstream import (
    HELLO,
    START,
    STOP,
    Event,
    Upstream,
    called,
    closed,
    opened,
    piece,
    provider_of,
    provider_over,
    reason,
    said,
    stream_of,
)

ESTIMATE = estimate_prompt_tokens(HELLO)


def answer(*events: Event | str, request: ModelRequest = HELLO) -> tuple[list[ModelEvent], Completed]:
    *deltas, end = provider_of(*events).open(request, deadline_seconds=5)
    assert isinstance(end, Completed)
    return deltas, end


def broken(*events: Event | str) -> str:
    """Return what the log says of a broken answer; it is asked for once."""
    upstream = Upstream()
    upstream.say(*events)
    with pytest.raises(ModelFailed) as caught:
        list(provider_over(upstream).open(HELLO, deadline_seconds=5))
    assert len(upstream.requests) == 1
    assert "broken_answer" in caught.value.internal
    assert "request req_1" in caught.value.internal
    return caught.value.internal


def texts(*pieces: str) -> list[Event]:
    return [START, opened(0, type="text", text=""), *(piece(0, "text_delta", text=each) for each in pieces), closed(0)]


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
def test_text_is_utf_8_however_its_surrogates_come(pieces: tuple[str, ...], told: str) -> None:
    deltas, end = answer(*texts(*pieces), reason("end_turn"), STOP)
    assert "".join(each.text for each in deltas if isinstance(each, TextDelta)) == told
    assert end.content == (Text(told),)


def test_thoughts_that_had_to_be_changed_are_not_sent_back() -> None:
    """Their signature is that of other text."""
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
def test_bad_arguments_are_a_problem_of_the_call_alone(arguments: str, problem: str) -> None:
    _, end = answer(START, *called(arguments), reason("tool_use"), STOP)
    (call,) = end.content
    assert isinstance(call, ToolUse)
    assert (call.problem, end.stop_reason) == (problem, "tool_use")
    json.dumps(call.input, allow_nan=False)


@pytest.mark.parametrize(
    ("whole", "problem"),
    [({"a": 1}, ""), ({"a": nested(50)}, TOO_DEEP), ([1], NOT_AN_OBJECT), ("x", NOT_AN_OBJECT), (None, ""), ({}, "")],
)
def test_arguments_may_come_whole(whole: Any, problem: str) -> None:
    block = (opened(0, type="tool_use", id="t", name="calculator", input=whole), closed(0))
    _, end = answer(START, *block, reason("tool_use"), STOP)
    (call,) = end.content
    assert isinstance(call, ToolUse)
    assert call.problem == problem
    assert call.input == whole if whole == {"a": 1} else True


@pytest.mark.parametrize("call_id", [None, "", "a b", "é", 5, {}, "x" * 200])
def test_ids_are_what_providers_accept(call_id: object) -> None:
    _, end = answer(START, *called("{}", call_id=call_id), reason("tool_use"), STOP)
    (call,) = end.content
    assert isinstance(call, ToolUse)
    assert call.id.startswith("call_")
    assert call.problem == ""


def test_ids_are_unique_in_the_conversation() -> None:
    before = (Message("assistant", (ToolUse("toolu_1", "n", {}),)), Message("user", (ToolResult("toolu_1", "1"),)))
    request = ModelRequest("claude-haiku-5-5", "", (*HELLO.messages, *before), 100)
    _, end = answer(START, *called("{}"), *called("{}", 1), *called("{}", 2, call_id="b"), reason("tool_use"), STOP,
                    request=request)  # fmt: skip
    ids = [call.id for call in end.content if isinstance(call, ToolUse)]
    assert len({*ids, "toolu_1"}) == 4
    assert ids[2] == "b"


@pytest.mark.parametrize(
    ("name", "kept"),
    [("a b", "a_b"), ("", "invalid_name"), (None, "invalid_name"), ({}, "invalid_name"), ("é", "invalid_name"),
     ("x" * 300, "x" * 128), ("current time", "current_time"), ("calculator\n", "calculator")],
)  # fmt: skip
def test_a_name_that_no_provider_accepts_is_repaired_and_not_called(name: object, kept: str) -> None:
    _, end = answer(START, *called("{}", name=name), reason("tool_use"), STOP)
    (call,) = end.content
    assert isinstance(call, ToolUse)
    assert (call.name, call.problem) == (kept, BAD_NAME)


@pytest.mark.parametrize("stop", ["end_turn", "stop_sequence", "pause_turn", "a_reason_of_the_future", "tool_use"])
def test_a_complete_call_is_a_call_whatever_the_reason(stop: str) -> None:
    _, end = answer(START, *said("I will."), *called('{"a": 1}', 1), reason(stop), STOP)
    assert end == Completed((Text("I will."), ToolUse("toolu_1", "calculator", {"a": 1})), "tool_use", Usage(9, 5))


def test_a_reason_to_call_without_a_call_is_a_failure() -> None:
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
def test_usage_is_never_lower_than_seen_and_what_is_missing_is_estimated(
    first: object, last: object, used: Usage, estimated: bool
) -> None:
    start = {"type": "message_start", "message": {"usage": first}}
    end = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": last}
    _, done = answer(start, *said("Hello."), end, STOP)
    assert (done.usage, done.usage.estimated) == (used, estimated)


@pytest.mark.parametrize("figure", BAD_FIGURES, ids=str)
def test_a_figure_that_cannot_be_true_counts_as_missing(figure: object) -> None:
    names = ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
    usage = dict.fromkeys(names, figure)
    start = {"type": "message_start", "message": {"usage": usage}}
    end = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": usage}
    _, done = answer(start, *said("Hello."), end, STOP)
    assert (done.usage, done.usage.estimated) == (Usage(ESTIMATE, 2), True)


def test_usage_of_a_call_that_was_refused_is_none() -> None:
    stream = provider_over(lambda _request: httpx2.Response(401)).open(HELLO, deadline_seconds=5)
    with pytest.raises(ModelFailed):
        list(stream)
    assert (stream.usage, stream.usage.estimated) == (Usage(), False)


TEXT_OPEN = opened(0, type="text", text="")
ORDERS: list[tuple[str, tuple[Any, ...]]] = [
    ("no beginning", (*said("Hi"), reason("end_turn"), STOP)),
    ("no beginning", (reason("end_turn"), STOP)),
    ("no beginning", (STOP,)),
    ("begins twice", (START, *said("Hi"), START)),
    ("begins twice", (START, TEXT_OPEN, TEXT_OPEN)),
    ("not open", (START, piece(0, "text_delta", text="Hi"))),
    ("not open", (START, *said("Hi"), piece(0, "text_delta", text="Hi"))),
    ("not open", (START, closed(0))),
    ("not open", (START, TEXT_OPEN, closed(0), closed(0))),
    ("a piece of tool_use in a block of text", (START, TEXT_OPEN, piece(0, "input_json_delta", partial_json="{}"))),
    ("no stop reason", (START, *said("Hi"), STOP)),
    ("no end", (START, *said("Hi"), reason("end_turn"))),
    ("no object", (START, {"type": "content_block_start", "index": 0, "content_block": []})),
    ("no object", (START, TEXT_OPEN, {"type": "content_block_delta", "index": 0})),
    ("no text", (START, TEXT_OPEN, piece(0, "text_delta", text=5))),
    ("no text", (START, TEXT_OPEN, {"type": "content_block_delta", "index": 0, "delta": {"type": None}})),
    ("no text", (START, opened(0, type={}))),
    ("no text", (START, {"type": "message_delta", "delta": {"stop_reason": 5}})),
    ("no whole number", (START, {**TEXT_OPEN, "index": "0"})),
    ("no whole number", (START, {**TEXT_OPEN, "index": -1})),
    ("no whole number", (START, {**TEXT_OPEN, "index": True})),
    ("more than", (START, *(opened(index, type="text", text="") for index in range(BLOCKS_MAX + 1)))),
    ("more than 128 tool calls", (START, *sum((called("{}", at) for at in range(129)), ()), reason("tool_use"), STOP)),
    ("not JSON", (START, "event: content_block_start\ndata: {nonsense\n\n")),
    ("not JSON", (START, "event: content_block_start\ndata: " + "[" * 100_000 + "\n\n")),
    ("not JSON", (START, 'event: ping2\ndata: {"a": ' + "9" * 5_000 + "}\n\n")),
    ("an event is no object", (START, "event: content_block_start\ndata: [1]\n\n")),
]


@pytest.mark.parametrize(("said_of_it", "events"), ORDERS, ids=[each[0] for each in ORDERS])
def test_an_order_or_type_that_cannot_be_repaired_is_a_failure(said_of_it: str, events: tuple[Any, ...]) -> None:
    assert said_of_it in broken(*events)


def test_bytes_that_are_not_utf_8_are_a_failure() -> None:
    body = b"".join([*stream_of([START]).iter_bytes(), b'event: x\ndata: {"a": "\xff"}\n\n'])
    provider = provider_over(lambda _request: httpx2.Response(200, content=body))
    with pytest.raises(ModelFailed, match="not JSON in UTF-8"):
        list(provider.open(HELLO, deadline_seconds=5))


def test_what_comes_after_the_end_is_not_read() -> None:
    deltas, end = answer(START, *said("Hi"), reason("end_turn"), STOP, *said("more", 1), START, "data: x\n\n")
    assert (deltas, end.content) == ([TextDelta("Hi")], (Text("Hi"),))


def test_unknown_events_blocks_and_deltas_are_passed_over() -> None:
    unknown = (
        {"type": "hologram", "index": {}, "delta": 5},
        opened(7, type="hologram", text=5),
        piece(7, "text_delta", text="unseen"),
        piece(7, "hologram_delta", text=5),
        closed(7),
    )
    _, end = answer({"type": "ping2"}, START, *unknown, *said("Hi"), reason("end_turn"), STOP)
    assert end.content == (Text("Hi"),)


@pytest.mark.parametrize("kind", ["text", "signature", "arguments"])
def test_an_answer_is_bounded(kind: str) -> None:
    large = "x" * (ANSWER_BYTES_MAX // 2)
    if kind == "text":
        events: list[Event] = texts(large, large, large)
    elif kind == "signature":
        events = [START, opened(0, type="thinking"), *[piece(0, "signature_delta", signature=large)] * 3]
    else:
        events = [START, *(opened(at, type="tool_use", id="a", name="n", input={"a": large}) for at in range(3))]
    assert "larger than" in broken(*events)


def test_a_stream_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("atrium.llm.anthropic.stream.STREAM_BYTES_MAX", 1_000_000)

    def endless() -> Any:
        yield b"".join(stream_of([START]).iter_bytes())
        for _ in range(1_000):
            yield b": a comment\n" + b"x" * 10_000

    provider = provider_over(lambda _request: httpx2.Response(200, content=endless()))
    with pytest.raises(ModelFailed, match="longer than"):
        list(provider.open(HELLO, deadline_seconds=30))


def test_the_body_of_an_error_is_bounded() -> None:
    taken = 0

    def endless() -> Any:
        nonlocal taken
        for _ in range(1_000):
            taken += 10_000
            yield b"x" * 10_000

    provider = provider_over(lambda _request: httpx2.Response(400, content=endless()))
    with pytest.raises(ModelFailed, match="status 400"):
        list(provider.open(HELLO, deadline_seconds=5))
    assert taken < ERROR_BYTES_MAX + 20_000


@pytest.mark.parametrize(
    "error", [None, 5, "x", [], {"error": None}, {"error": []}, {"error": {"type": {}}}, {"error": {"type": "a\nb"}},
              {"error": {"type": "x", "details": {"error_code": []}}}, {"error": {"details": 5}}]
)  # fmt: skip
@pytest.mark.parametrize("place", ["body", "event"])
def test_an_error_may_have_any_form(place: str, error: object) -> None:
    if place == "body":
        response = httpx2.Response(500, json=error)
    else:
        response = stream_of([START, *said("Hi"), f"event: error\ndata: {json.dumps(error)}\n\n"])
    calls: list[httpx2.Request] = []

    def handle(request: httpx2.Request) -> httpx2.Response:
        calls.append(request)
        return response

    with pytest.raises(ModelFailed) as caught:
        list(provider_over(handle, retries=2).open(HELLO, deadline_seconds=5))
    assert len(calls) == (3 if place == "body" else 1), "no retry after text was sent"
    assert "\n" not in caught.value.internal


@pytest.mark.parametrize("status", [429, 529, 503])
@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "3600"}, 3_600),
        ({"retry-after": "86400"}, 3_600),
        ({"retry-after": "1e30"}, 3_600),
        ({"retry-after": "20.2"}, 21),
        ({"retry-after-ms": "20200"}, 21),
        ({"retry-after-ms": "soon", "retry-after": "20"}, 20),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "Fri, 31 Dec 9999 23:59:59 GMT"}, 3_600),
        ({"retry-after": "Fri, 31 Dec 99999999 23:59:59 GMT"}, None),
        ({}, None),
    ],
)
def test_the_providers_retry_after_is_passed_on_within_bounds(
    status: int, headers: dict[str, str], seconds: int | None
) -> None:
    provider = provider_over(lambda _request: httpx2.Response(status, headers=headers), retries=0)
    with pytest.raises(ModelFailed) as caught:
        list(provider.open(HELLO, deadline_seconds=5))
    assert caught.value.retry_after_seconds == seconds
    assert (str(seconds) in caught.value.detail) is (seconds is not None)


@pytest.mark.parametrize(
    "body", [b"", b"[1]", b'"x"', b"{}", b'{"input_tokens": null}', b'{"input_tokens": -1}', b'{"input_tokens": 5.5}',
             b'{"input_tokens": "9"}', b'{"input_tokens": {}}', b"{nonsense", b"\xff", b"[" * 100_000]
)  # fmt: skip
def test_a_count_that_is_no_count_is_a_failure(body: bytes) -> None:
    headers = {"content-type": "application/json"}
    provider = provider_over(lambda _request: httpx2.Response(200, headers=headers, content=body))
    with pytest.raises(ModelFailed):
        provider.count_tokens(HELLO)
