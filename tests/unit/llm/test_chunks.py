"""The parser of Chat Completions streams: valid answers, repaired answers and answers that fail."""

from dataclasses import replace
from typing import Any

import httpx2
import pytest
from atrium.kernel.errors import ModelFailed, ModelTimeout, ProviderUnsupported
from atrium.llm.answer import ANSWER_BYTES_MAX
from atrium.llm.connection import ERROR_BYTES_MAX
from atrium.llm.model import (
    UNSIGNED,
    Completed,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ToolUse,
    Usage,
)
from atrium.llm.normalise import BAD_NAME, NOT_AN_OBJECT, NOT_FINITE, NOT_JSON
from atrium.llm.tokens import estimate_prompt_tokens

from tests.builders.chunks import (
    DONE,
    HELLO,
    MODELS,
    USAGE,
    Chunk,
    answer,
    broken,
    call,
    called,
    delta,
    provider_over,
    stop,
    stream_of,
)

ESTIMATE = estimate_prompt_tokens(HELLO)


def test_streams_thinking_text_and_parallel_calls() -> None:
    deltas, end = answer(
        delta(role="assistant", content=""),
        delta(reasoning_content="Hm"),
        delta(reasoning_content="."),
        delta(content="I will"),
        call(0, id="call_a", name="now", arguments=""),
        call(1, id="call_b", name="calculator", arguments='{"exp'),
        call(0, arguments="{}"),
        call(1, arguments='ression": "6*7"}'),
        delta(content=" look."),
        *stop("tool_calls"),
        vendor="zhipu",
    )
    assert deltas == [ThinkingDelta("Hm"), ThinkingDelta("."), TextDelta("I will"), TextDelta(" look.")]
    assert end == Completed(
        (
            Thinking("Hm.", UNSIGNED),
            Text("I will look."),
            ToolUse("call_a", "now", {}),
            ToolUse("call_b", "calculator", {"expression": "6*7"}),
        ),
        "tool_use",
        Usage(9, 5),
    )


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("stop", "end_turn"),
        ("length", "max_tokens"),
        ("content_filter", "refusal"),
        ("sensitive", "refusal"),
        ("model_context_window_exceeded", "context_overflow"),
        ("a_reason_of_the_future", "end_turn"),
    ],
)
def test_translates_finish_reasons(reason: str, expected: str) -> None:
    _, end = answer(delta(content="Hi"), *stop(reason))
    assert (end.content, end.stop_reason) == ((Text("Hi"),), expected)


def test_a_refusal_is_text_with_its_own_stop_reason() -> None:
    deltas, end = answer(delta(refusal="I can"), delta(refusal="not."), *stop())
    assert deltas == [TextDelta("I can"), TextDelta("not.")]
    assert (end.content, end.stop_reason) == ((Text("I cannot."),), "refusal")


@pytest.mark.parametrize("reason", ["stop", "tool_calls", "function_call"])
def test_executes_a_complete_call_whatever_the_finish_reason(reason: str) -> None:
    _, end = answer(called('{"a": 1}'), *stop(reason))
    assert end == Completed((ToolUse("call_1", "calculator", {"a": 1}),), "tool_use", Usage(9, 5))


@pytest.mark.parametrize("reason", ["length", "content_filter"])
def test_drops_tool_calls_of_a_truncated_answer(reason: str) -> None:
    _, end = answer(delta(content="Hi"), called('{"a":'), *stop(reason))
    assert end.content == (Text("Hi"),)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [('{"a":', NOT_JSON), ("[1]", NOT_AN_OBJECT), ('{"a": NaN}', NOT_FINITE), ("", ""), ('{"a": 1}', "")],
)
def test_invalid_arguments_fail_only_their_tool_call(arguments: str, problem: str) -> None:
    _, end = answer(called(arguments), called("{}", 1, "call_2"), *stop("tool_calls"))
    first, second = end.content
    assert isinstance(first, ToolUse)
    assert isinstance(second, ToolUse)
    assert (first.problem, second.problem) == (problem, "")


@pytest.mark.parametrize("call_id", [None, "", "a b", 5, {}, "x" * 200])
def test_repairs_tool_call_ids(call_id: object) -> None:
    _, end = answer(called("{}", call_id=call_id), called("{}", 1, call_id), *stop("tool_calls"))
    ids = [block.id for block in end.content if isinstance(block, ToolUse)]
    assert all(each.startswith("call_") for each in ids)
    assert len(set(ids)) == 2


@pytest.mark.parametrize("name", [None, "a b", {}, 5])
def test_repairs_invalid_tool_names_without_calling_them(name: object) -> None:
    _, end = answer(called("{}", name=name), *stop("tool_calls"))
    (block,) = end.content
    assert isinstance(block, ToolUse)
    assert block.problem == BAD_NAME


def test_joins_surrogate_pairs_and_drops_changed_thinking() -> None:
    _, end = answer(
        delta(reasoning_content="\ud83d"), delta(content="a\ud83d"), delta(content="\ude00b"), *stop(), vendor="zhipu"
    )
    assert end.content == (Text("a😀b"),)


def test_ignores_unknown_fields_other_choices_and_bytes_after_the_end() -> None:
    other = {"index": 1, "delta": {"content": "no"}, "finish_reason": "stop"}
    unknown: Chunk = {"choices": [other], "object": 5, "hologram": {}}
    deltas, end = answer(": a comment\n\n", unknown, delta(content="Hi", hologram=5), *stop(), "data: {nonsense\n\n")
    assert (deltas, end.content) == ([TextDelta("Hi")], (Text("Hi"),))


ORDERS: list[tuple[str, tuple[Any, ...]]] = [
    ("no end", ()),
    ("no end", (delta(content="Hi"),)),
    ("no end", (delta(content="Hi"), delta("stop"))),
    ("no end", (delta(content="Hi"), delta("stop"), USAGE)),
    ("no stop reason", (DONE,)),
    ("no stop reason", (delta(content="Hi"), USAGE, DONE)),
    ("no tool call", (delta(content="Hi"), *stop("tool_calls"))),
    ("a chunk is not an object", ("data: [1]\n\n",)),
    ("a chunk is not an object", ("data: null\n\n",)),
    ("a choice is not an object", ({"choices": [5]},)),
    ("choices is not a list", ({"choices": {}},)),
    ("delta is not an object", ({"choices": [{"delta": [1]}]},)),
    ("content is not a string", (delta(content=5),)),
    ("content is not a string", (delta(content=["Hi"]),)),
    ("refusal is not a string", (delta(refusal={}),)),
    ("reasoning_content is not a string", (delta(reasoning_content=5),)),
    ("finish_reason is not a string", ({"choices": [{"delta": {}, "finish_reason": 5}]},)),
    ("tool_calls is not a list", (delta(tool_calls={}),)),
    ("a tool call is not an object", (delta(tool_calls=["x"]),)),
    ("function is not an object", (delta(tool_calls=[{"index": 0, "function": [1]}]),)),
    ("arguments is not a string", (call(0, id="a", name="n", arguments={"a": 1}),)),
    *(("not a whole number", (delta(tool_calls=[{"index": index}]),)) for index in (None, "0", -1, True, 0.0)),
    ("more than 128 tool calls", (*(called("{}", at) for at in range(129)), *stop("tool_calls"))),
    ("cannot be decoded", (delta(content="Hi"), "data: {nonsense\n\n")),
    (
        "cannot be decoded",
        (
            delta(content="Hi"),
            "data: " + "[" * 100_000 + "\n\n",
        ),
    ),
    (
        "cannot be decoded",
        (
            delta(content="Hi"),
            'data: {"a": ' + "9" * 5_000 + "}\n\n",
        ),
    ),
    ("larger than", tuple(delta(content="x" * (ANSWER_BYTES_MAX // 2)) for _ in range(3))),
    ("larger than", (called("x" * ANSWER_BYTES_MAX),)),
]


@pytest.mark.parametrize(("said_of_it", "chunks"), ORDERS)
def test_fails_on_unrepairable_order_or_type(said_of_it: str, chunks: tuple[Any, ...]) -> None:
    if chunks:
        assert said_of_it in broken(*chunks)
    else:  # before any chunk, the call is retried
        with pytest.raises(ModelFailed, match=said_of_it):
            answer()


def test_fails_on_invalid_utf_8() -> None:
    response = httpx2.Response(200, content=b'data: {"choices": [], "a": "\xff"}\n\n')
    with pytest.raises(ModelFailed, match="cannot be decoded"):
        list(provider_over(lambda _request: response, retries=0).open(HELLO, deadline_seconds=5))


def test_a_stream_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("atrium.llm.streaming.STREAM_BYTES_MAX", 100_000)

    def endless() -> Any:
        for _ in range(1_000):
            yield b": a comment\n" + b"x" * 10_000

    provider = provider_over(lambda _request: httpx2.Response(200, content=endless()), retries=0)
    with pytest.raises(ModelFailed, match="longer than"):
        list(provider.open(HELLO, deadline_seconds=30))


BAD_FIGURES: tuple[object, ...] = (None, -1, 5.5, 10**30, 2_000_000, "9", True, [], {})
USAGES: list[tuple[object, Usage, bool]] = [
    ({"prompt_tokens": 100, "completion_tokens": 5}, Usage(100, 5), False),
    (
        {
            "prompt_tokens": 100,
            "completion_tokens": 5,
            "prompt_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 30},
        },
        Usage(10, 5, 60, 30),
        False,
    ),
    (
        {"prompt_tokens": 100, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 101}},
        Usage(100, 5),
        False,
    ),
    (
        {"prompt_tokens": 100, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": -1}},
        Usage(100, 5),
        False,
    ),
    ({"prompt_tokens": 100, "completion_tokens": 5, "prompt_tokens_details": []}, Usage(100, 5), False),
    ({"prompt_tokens": 100}, Usage(100, 2), True),
    ({"completion_tokens": 5}, Usage(ESTIMATE, 5), True),
    (None, Usage(ESTIMATE, 2), True),
    ([], Usage(ESTIMATE, 2), True),
    *(({"prompt_tokens": figure, "completion_tokens": figure}, Usage(ESTIMATE, 2), True) for figure in BAD_FIGURES),
]


@pytest.mark.parametrize(("usage", "used", "estimated"), USAGES)
def test_validates_and_estimates_usage(usage: object, used: Usage, estimated: bool) -> None:
    _, end = answer(delta(content="Hello."), delta("stop"), {"choices": [], "usage": usage}, DONE)
    assert (end.usage, end.usage.estimated) == (used, estimated)


def test_reads_usage_that_comes_with_the_finish_reason() -> None:
    """Zhipu sends the usage in the last chunk that has a choice."""
    last = {**delta("stop"), "usage": {"prompt_tokens": 7, "completion_tokens": 3}}
    _, end = answer(delta(content="Hello."), last, DONE, vendor="zhipu")
    assert (end.usage, end.usage.estimated) == (Usage(7, 3), False)


def failure_of(response: httpx2.Response, *, vendor: str = "openai") -> tuple[ModelFailed | ModelTimeout, int]:
    """Return the error of a call that always gets this response, and the number of attempts."""
    calls: list[httpx2.Request] = []

    def handle(request: httpx2.Request) -> httpx2.Response:
        calls.append(request)
        return httpx2.Response(response.status_code, headers=response.headers, content=response.read())

    request = replace(HELLO, model=MODELS[vendor])
    with pytest.raises((ModelFailed, ModelTimeout)) as caught:
        list(provider_over(handle, vendor=vendor, retries=2).open(request, deadline_seconds=5))
    assert isinstance(caught.value, ModelFailed | ModelTimeout)
    return caught.value, len(calls)


@pytest.mark.parametrize(
    ("status", "error", "kind", "attempts", "retryable", "outage"),
    [
        (401, {"code": "invalid_api_key", "type": "invalid_request_error"}, "invalid_api_key", 1, False, False),
        (403, {"type": "permission_error"}, "permission_error", 1, False, False),
        (404, {"code": "model_not_found"}, "model_not_found", 1, False, False),
        (400, {"type": "invalid_request_error", "code": None}, "invalid_request_error", 1, False, False),
        (429, {"code": "rate_limit_exceeded", "type": "tokens"}, "rate_limit_error", 3, True, False),
        (429, {"code": "insufficient_quota", "type": "insufficient_quota"}, "insufficient_quota", 1, False, False),
        (429, {"code": "1302"}, "rate_limit_error", 3, True, False),
        (429, {"code": "1113"}, "1113", 1, False, False),
        (429, {"code": 1113}, "1113", 1, False, False),
        (500, {"type": "server_error"}, "api_error", 3, True, True),
        (503, {"code": "server_is_overloaded"}, "overloaded_error", 3, True, True),
        (504, {}, "unknown_error", 3, True, True),
    ],
)
def test_classifies_errors_by_status_and_code(
    status: int, error: dict[str, object], kind: str, attempts: int, retryable: bool, outage: bool
) -> None:
    body = {"error": {"message": "SECRET prompt", **error}}
    caught, calls = failure_of(httpx2.Response(status, json=body, headers={"x-request-id": "req_7"}))
    assert calls == attempts
    assert isinstance(caught, ModelTimeout if status == 504 else ModelFailed)
    assert (caught.retryable, caught.is_outage) == (retryable, outage)
    assert caught.internal == f"provider: {kind}, status {status}, request req_7"
    assert "SECRET" not in f"{caught} {caught.detail}"


def test_the_providers_retry_after_is_passed_on() -> None:
    caught, _ = failure_of(httpx2.Response(429, headers={"retry-after": "20.2"}))
    assert caught.retry_after_seconds == 21


@pytest.mark.parametrize(
    ("status", "code"), [(400, "context_length_exceeded"), (400, "1261"), (400, 1261), (413, "request_too_large")]
)
def test_a_prompt_that_is_too_long_is_an_overflow(status: int, code: object) -> None:
    response = httpx2.Response(status, json={"error": {"code": code, "message": "too long"}})
    events = list(provider_over(lambda _request: response).open(HELLO, deadline_seconds=5))
    assert events == [Completed((), "context_overflow")]


@pytest.mark.parametrize("error", [None, 5, "x", [], {"error": None}, {"error": []}, {"error": {"code": {}}},
                                   {"error": {"type": "a\nb"}}, {"error": {"code": [1], "type": 5}}])  # fmt: skip
def test_accepts_error_bodies_of_any_format(error: object) -> None:
    caught, calls = failure_of(httpx2.Response(500, json=error))
    assert calls == 3
    assert "\n" not in caught.internal


@pytest.mark.parametrize(
    ("error", "kind", "outage"),
    [
        ({"code": "server_error", "message": "SECRET"}, "api_error", True),
        ({"type": "overloaded", "code": None}, "overloaded_error", True),
        ({"code": "1302"}, "rate_limit_error", False),
        ({"code": {}}, "unknown_error", False),
        ("a text", "unknown_error", False),
    ],
)
def test_an_error_in_the_stream_keeps_what_came_and_is_not_retried(error: object, kind: str, outage: bool) -> None:
    caught, calls = failure_of(stream_of([delta(content="Hi"), {"error": error}]))
    assert (calls, caught.is_outage) == (1, outage)
    assert caught.internal == f"provider: {kind}, status 200, request req_1"


def test_an_overload_before_the_first_chunk_is_retried() -> None:
    _, calls = failure_of(stream_of([{"error": {"type": "overloaded"}}]))
    assert calls == 3


def test_a_failed_inference_of_zhipu_is_an_outage() -> None:
    caught, _ = failure_of(stream_of([delta(content="Hi"), delta("network_error")]), vendor="zhipu")
    assert caught.is_outage


def test_the_body_of_an_error_is_bounded() -> None:
    taken = 0

    def endless() -> Any:
        nonlocal taken
        for _ in range(1_000):
            taken += 10_000
            yield b"x" * 10_000

    with pytest.raises(ModelFailed, match="status 400"):
        list(provider_over(lambda _request: httpx2.Response(400, content=endless())).open(HELLO, deadline_seconds=5))
    assert taken < ERROR_BYTES_MAX + 20_000


@pytest.mark.parametrize("failure", [httpx2.ConnectError("refused"), httpx2.ReadError("gone")])
def test_a_lost_connection_is_retried(failure: Exception) -> None:
    calls: list[int] = []

    def handle(_request: httpx2.Request) -> httpx2.Response:
        calls.append(1)
        if len(calls) == 1:
            raise failure
        return stream_of([delta(content="Hi"), *stop()])

    *_, end = provider_over(handle).open(HELLO, deadline_seconds=5)
    assert isinstance(end, Completed)
    assert len(calls) == 2


def test_a_rejected_call_has_no_usage() -> None:
    stream = provider_over(lambda _request: httpx2.Response(401)).open(HELLO, deadline_seconds=5)
    with pytest.raises(ModelFailed):
        list(stream)
    assert stream.usage == Usage()


def test_does_not_count_tokens() -> None:
    with pytest.raises(ProviderUnsupported):
        provider_over(lambda _request: httpx2.Response(500)).count_tokens(HELLO)
