"""The parser of a provider's answer, which never treats an incomplete answer as complete."""

from dataclasses import replace

import httpx2
import pytest
from atrium.kernel.errors import ModelFailed
from atrium.llm.model import (
    Completed,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ToolUse,
    Usage,
)

from tests.builders.upstream import (
    HELLO,
    START,
    STOP,
    Event,
    closed,
    opened,
    piece,
    provider_of,
    provider_over,
    reason,
    stream_of,
)

TEXT = (opened(0, type="text", text=""), piece(0, "text_delta", text="Hi"), closed(0))


def test_orders_blocks_by_index() -> None:
    events = (
        START,
        {"type": "ping"},
        opened(0, type="thinking", thinking="", signature=""),
        piece(0, "thinking_delta", thinking="Hm."),
        piece(0, "signature_delta", signature="sig"),
        closed(0),
        opened(1, type="redacted_thinking", data="opaque"),
        closed(1),
        opened(2, type="server_tool_use", id="srv", name="web_search", input={}),
        piece(2, "input_json_delta", partial_json='{"query'),
        closed(2),
        {"type": "a_type_of_the_future", "index": 9},
        opened(3, type="text", text="A"),
        piece(3, "text_delta", text=""),
        piece(3, "text_delta", text="B"),
        closed(3),
        opened(4, type="tool_use", id="toolu_1", name="now", input={}),
        piece(4, "input_json_delta", partial_json=""),
        closed(4),
        reason("tool_use", input_tokens=10, cache_read_input_tokens=2, cache_creation_input_tokens=3),
        STOP,
    )
    *deltas, end = provider_of(*events).open(HELLO, deadline_seconds=5)

    assert deltas == [ThinkingDelta("Hm."), TextDelta("A"), TextDelta("B")]
    assert end == Completed(
        (
            Thinking("Hm.", "sig"),
            Thinking("", "opaque", redacted=True),
            Text("AB"),
            ToolUse("toolu_1", "now", {}),
        ),
        "tool_use",
        Usage(10, 5, 2, 3),
    )


def test_keeps_usage_figures_that_the_end_omits() -> None:
    *_, end = provider_of(START, *TEXT, reason("end_turn"), STOP).open(HELLO, deadline_seconds=5)
    assert isinstance(end, Completed)
    assert end.usage == Usage(9, 5)


@pytest.mark.parametrize("stop", ["max_tokens", "refusal", "model_context_window_exceeded"])
def test_drops_tool_calls_of_a_truncated_answer(stop: str) -> None:
    call = (opened(1, type="tool_use", id="t", name="n", input={}), closed(1))
    *_, end = provider_of(START, *TEXT, *call, reason(stop), STOP).open(HELLO, deadline_seconds=5)
    assert isinstance(end, Completed)
    assert end.content == (Text("Hi"),)


def test_an_unknown_stop_reason_ends_the_turn() -> None:
    *_, end = provider_of(START, *TEXT, reason("tired"), STOP).open(HELLO, deadline_seconds=5)
    assert isinstance(end, Completed)
    assert end.stop_reason == "end_turn"


@pytest.mark.parametrize(
    ("stop", "reported", "expected"),
    [
        ("stop_sequence", "END", "END"),
        ("stop_sequence", "OTHER", None),  # not requested
        ("stop_sequence", ["END"], None),
        ("stop_sequence", None, None),
        ("end_turn", "END", None),
    ],
)
def test_reports_the_requested_stop_sequence_that_was_hit(stop: str, reported: object, expected: str | None) -> None:
    end: Event = {"type": "message_delta", "delta": {"stop_reason": stop, "stop_sequence": reported}, "usage": {}}
    request = replace(HELLO, stop_sequences=("STOP", "END"))
    *_, completed = provider_of(START, *TEXT, end, STOP).open(request, deadline_seconds=5)
    assert isinstance(completed, Completed)
    assert (completed.stop_reason, completed.stop_sequence) == (stop, expected)


def test_a_tool_call_is_no_stop_sequence() -> None:
    call = (opened(1, type="tool_use", id="t", name="n", input={}), closed(1))
    end: Event = {"type": "message_delta", "delta": {"stop_reason": "stop_sequence", "stop_sequence": "END"}}
    request = replace(HELLO, stop_sequences=("END",))
    *_, completed = provider_of(START, *TEXT, *call, end, STOP).open(request, deadline_seconds=5)
    assert isinstance(completed, Completed)
    assert (completed.stop_reason, completed.stop_sequence) == ("tool_use", None)


@pytest.mark.parametrize(
    "events",
    [
        pytest.param((), id="nothing"),
        pytest.param((START,), id="a beginning alone"),
        pytest.param((START, *TEXT), id="no reason, no end"),
        pytest.param((START, *TEXT, reason("end_turn")), id="no end"),
        pytest.param((START, *TEXT, STOP), id="no reason"),
        pytest.param((*TEXT, reason("end_turn"), STOP), id="no beginning"),
        pytest.param((START, piece(0, "text_delta", text="Hi"), reason("end_turn"), STOP), id="a piece of nothing"),
        pytest.param((START, "event: content_block_start\ndata: {nonsense\n\n"), id="no JSON"),
        pytest.param(("<html>bad gateway</html>",), id="another language"),
    ],
)
def test_a_broken_answer_fails(events: tuple[Event | str, ...]) -> None:
    with pytest.raises(ModelFailed) as caught:
        list(provider_of(*events).open(HELLO, deadline_seconds=5))
    assert "broken_answer" in caught.value.internal


@pytest.mark.parametrize(
    "first",
    [
        httpx2.RemoteProtocolError("gone"),
        httpx2.ConnectError("refused"),
        stream_of(['event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"x"}}\n\n']),
        stream_of([]),
    ],
)
def test_retries_errors_before_the_answer(first: httpx2.Response | Exception) -> None:
    calls: list[str] = []

    def handle(request: httpx2.Request) -> httpx2.Response:
        calls.append(request.url.path)
        if len(calls) == 1 and isinstance(first, Exception):
            raise first
        return (
            first
            if len(calls) == 1 and isinstance(first, httpx2.Response)
            else stream_of([START, *TEXT, reason("end_turn"), STOP])
        )

    *_, end = provider_over(handle).open(HELLO, deadline_seconds=5)
    assert isinstance(end, Completed)
    assert len(calls) == 2


def test_does_not_repeat_the_providers_error_text() -> None:
    def handle(_request: httpx2.Request) -> httpx2.Response:
        body = {"type": "error", "error": {"type": "invalid_request_error", "message": "messages.0: SECRET"}}
        return httpx2.Response(400, json=body, headers={"request-id": "req_7"})

    with pytest.raises(ModelFailed) as caught:
        list(provider_over(handle).open(HELLO, deadline_seconds=5))
    assert "SECRET" not in f"{caught.value} {caught.value.internal} {caught.value.detail}"
    assert caught.value.internal == "provider: invalid_request_error, status 400, request req_7"


def test_does_not_retry_against_the_providers_advice() -> None:
    calls: list[httpx2.Request] = []

    def handle(request: httpx2.Request) -> httpx2.Response:
        calls.append(request)
        return httpx2.Response(529, headers={"x-should-retry": "false"})

    with pytest.raises(ModelFailed):
        list(provider_over(handle).open(HELLO, deadline_seconds=5))
    assert len(calls) == 1


def test_estimates_output_until_the_provider_reports_it() -> None:
    long = piece(0, "text_delta", text="x" * 90)
    stream = provider_of(START, opened(0, type="text", text=""), long).open(HELLO, deadline_seconds=5)
    assert next(stream) == TextDelta("x" * 90)
    assert (stream.usage, stream.usage.estimated) == (Usage(9, 30), True)
    stream.close()

    huge = piece(0, "text_delta", text="x" * 9_000)
    stream = provider_of(START, opened(0, type="text", text=""), huge).open(HELLO, deadline_seconds=5)
    next(stream)
    assert stream.usage.output_tokens == HELLO.max_tokens
    stream.close()
