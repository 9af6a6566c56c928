"""Malformed answers, endless answers and error responses of a provider cause model errors.

The time and the size of an answer are limited.
"""

import json
from typing import Any

import httpx2
import pytest
from atrium.kernel.errors import ModelFailed
from atrium.llm.answer import ANSWER_BYTES_MAX, BLOCKS_MAX
from atrium.llm.connection import ERROR_BYTES_MAX
from atrium.llm.model import Text, TextDelta

from tests.builders.upstream import (
    HELLO,
    START,
    STOP,
    Event,
    answer,
    broken,
    called,
    closed,
    opened,
    piece,
    provider_over,
    reason,
    said,
    stream_of,
    texts,
)

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
    (
        "a chunk of type tool_use in a block of type text",
        (START, TEXT_OPEN, piece(0, "input_json_delta", partial_json="{}")),
    ),
    ("no stop reason", (START, *said("Hi"), STOP)),
    ("no end", (START, *said("Hi"), reason("end_turn"))),
    ("not an object", (START, {"type": "content_block_start", "index": 0, "content_block": []})),
    ("not an object", (START, TEXT_OPEN, {"type": "content_block_delta", "index": 0})),
    ("not a string", (START, TEXT_OPEN, piece(0, "text_delta", text=5))),
    ("not a string", (START, TEXT_OPEN, {"type": "content_block_delta", "index": 0, "delta": {"type": None}})),
    ("not a string", (START, opened(0, type={}))),
    ("not a string", (START, {"type": "message_delta", "delta": {"stop_reason": 5}})),
    ("not a whole number", (START, {**TEXT_OPEN, "index": "0"})),
    ("not a whole number", (START, {**TEXT_OPEN, "index": -1})),
    ("not a whole number", (START, {**TEXT_OPEN, "index": True})),
    ("more than", (START, *(opened(index, type="text", text="") for index in range(BLOCKS_MAX + 1)))),
    ("more than 128 tool calls", (START, *sum((called("{}", at) for at in range(129)), ()), reason("tool_use"), STOP)),
    ("cannot be decoded", (START, "event: content_block_start\ndata: {nonsense\n\n")),
    ("cannot be decoded", (START, "event: content_block_start\ndata: " + "[" * 100_000 + "\n\n")),
    ("cannot be decoded", (START, 'event: ping2\ndata: {"a": ' + "9" * 5_000 + "}\n\n")),
    ("an event is not an object", (START, "event: content_block_start\ndata: [1]\n\n")),
]


@pytest.mark.parametrize(("said_of_it", "events"), ORDERS, ids=[each[0] for each in ORDERS])
def test_fails_on_unrepairable_event_order_or_type(said_of_it: str, events: tuple[Any, ...]) -> None:
    assert said_of_it in broken(*events)


def test_fails_on_invalid_utf_8() -> None:
    body = b"".join([*stream_of([START]).iter_bytes(), b'event: x\ndata: {"a": "\xff"}\n\n'])
    provider = provider_over(lambda _request: httpx2.Response(200, content=body))
    with pytest.raises(ModelFailed, match="cannot be decoded"):
        list(provider.open(HELLO, deadline_seconds=5))


def test_ignores_bytes_after_the_end() -> None:
    deltas, end = answer(START, *said("Hi"), reason("end_turn"), STOP, *said("more", 1), START, "data: x\n\n")
    assert (deltas, end.content) == ([TextDelta("Hi")], (Text("Hi"),))


def test_ignores_unknown_events_blocks_and_deltas() -> None:
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
    monkeypatch.setattr("atrium.llm.streaming.STREAM_BYTES_MAX", 1_000_000)

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
def test_accepts_error_bodies_of_any_format(place: str, error: object) -> None:
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
def test_fails_on_an_invalid_token_count(body: bytes) -> None:
    headers = {"content-type": "application/json"}
    provider = provider_over(lambda _request: httpx2.Response(200, headers=headers, content=body))
    with pytest.raises(ModelFailed):
        provider.count_tokens(HELLO)
