"""The event stream: its bytes, and the message that the SDK parses from them."""

import time
from itertools import pairwise

import anthropic
import httpx
import pytest
from anthropic.types import Message
from pydantic import JsonValue

from tests.unit.model_server.builders import CALCULATOR, MODEL, Frame, JsonObject, ask, body, read_frames, user

pytestmark = pytest.mark.loopback

OFFERED: JsonObject = {"name": "calculator", "input_schema": {"type": "object"}}


def frames_of(http: httpx.Client, text: str, **changes: JsonValue) -> list[Frame]:
    response = http.post("/v1/messages", json=body(text, stream=True, **changes))
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert response.headers["request-id"].startswith("req_")
    return read_frames(response.content)


def at(value: JsonValue, *path: str) -> JsonValue:
    for step in path:
        assert isinstance(value, dict)
        value = value[step]
    return value


def comparable(message: Message) -> dict[str, object]:
    return message.model_dump(exclude={"id": True, "content": {2: {"id"}}}, exclude_none=True)


def test_text_has_the_events_of_the_wire_in_order(http: httpx.Client) -> None:
    frames = frames_of(http, "[[echo]] one two three [[pieces=3]]")
    assert [frame.name for frame in frames] == [
        "message_start",
        "content_block_start",
        "ping",
        "content_block_delta",
        "content_block_delta",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert all(frame.data["type"] == frame.name for frame in frames)
    assert at(frames[0].data, "message", "content") == []
    assert at(frames[0].data, "message", "stop_reason") is None
    assert at(frames[0].data, "message", "model") == MODEL
    assert frames[1].data["content_block"] == {"type": "text", "text": ""}
    assert [frame.data["delta"] for frame in frames[3:6]] == [
        {"type": "text_delta", "text": "one "},
        {"type": "text_delta", "text": "two "},
        {"type": "text_delta", "text": "three"},
    ]
    assert frames[7].data["delta"] == {"stop_reason": "end_turn", "stop_sequence": None, "stop_details": None}
    assert frames[8].data == {"type": "message_stop"}


def test_usage_is_in_first_and_last_event(http: httpx.Client) -> None:
    frames = frames_of(http, "[[tokens=50]]")
    counted = http.post(
        "/v1/messages/count_tokens", json={"model": MODEL, "messages": body("[[tokens=50]]")["messages"]}
    )
    input_tokens = counted.json()["input_tokens"]
    assert at(frames[0].data, "message", "usage", "input_tokens") == input_tokens
    assert at(frames[0].data, "message", "usage", "output_tokens") == 1
    assert frames[-2].data["usage"] == {
        "input_tokens": input_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": 50,
    }


def test_thinking_ends_with_its_signature(http: httpx.Client) -> None:
    frames = frames_of(http, "Hello. [[thinking=The user greets.]]")
    assert frames[1].data["content_block"] == {"type": "thinking", "thinking": "", "signature": ""}
    deltas = [frame.data["delta"] for frame in frames if frame.data.get("index") == 0 and "delta" in frame.data]
    assert deltas[:2] == [
        {"type": "thinking_delta", "thinking": "The user"},
        {"type": "thinking_delta", "thinking": " greets."},
    ]
    assert at(deltas[-1], "type") == "signature_delta"
    assert at(deltas[-1], "signature")
    assert at(frames[-2].data, "usage", "output_tokens_details") == {"thinking_tokens": 4}


def test_tools_stream_their_input_in_pieces(http: httpx.Client) -> None:
    text = '[[tool=calculator {"expression":"6*7 + 100 - 58"}]] [[tool=calculator {"expression":"1+1"}]]'
    frames = frames_of(http, text, tools=[OFFERED])
    starts = [frame.data for frame in frames if frame.name == "content_block_start"]
    assert [start["index"] for start in starts] == [0, 1]
    assert [at(start, "content_block", "input") for start in starts] == [{}, {}]
    pieces = [
        at(frame.data, "delta", "partial_json")
        for frame in frames
        if frame.data.get("index") == 0 and "delta" in frame.data
    ]
    assert pieces[0] == ""
    assert len(pieces) > 3
    assert "".join(str(piece) for piece in pieces) == '{"expression":"6*7 + 100 - 58"}'
    assert at(frames[-2].data, "delta", "stop_reason") == "tool_use"


def test_the_sdk_sums_the_stream_up_to_the_json_answer(client: anthropic.Anthropic) -> None:
    text = "Tell me: what is 12*7? [[thinking=Use the tool.]] [[preface=One moment.]]"
    whole = ask(client, text, tools=[CALCULATOR])
    with client.messages.stream(model=MODEL, max_tokens=4096, messages=[user(text)], tools=[CALCULATOR]) as stream:
        kinds = [event.type for event in stream]
        streamed = stream.get_final_message()
    assert {"thinking", "signature", "text", "input_json"} < set(kinds)
    assert comparable(streamed) == comparable(whole)


def test_pieces_arrive_as_they_are_sent(http: httpx.Client) -> None:
    arrivals: list[float] = []
    started = time.monotonic()
    with http.stream("POST", "/v1/messages", json=body("[[pieces=4]] [[slow=0.06]] Hello.", stream=True)) as response:
        for line in response.iter_lines():
            if line == "event: content_block_delta":
                arrivals.append(time.monotonic())
    assert len(arrivals) == 4
    assert all(arrival - started > 0.055 * index for index, arrival in enumerate(arrivals))
    assert arrivals[-1] - arrivals[0] > 0.055


def test_a_slow_json_answer_takes_as_long_as_its_pieces(client: anthropic.Anthropic) -> None:
    started = time.monotonic()
    ask(client, "[[pieces=4]] [[slow=0.05]] [[delay=0.1]] Hello.")
    assert time.monotonic() - started > 0.24


def test_nothing_waits_for_an_acknowledgement(http: httpx.Client) -> None:
    times = [time.monotonic()]
    for _ in range(10):
        http.post("/v1/messages", json=body("Hello."))
        times.append(time.monotonic())
    assert min(later - earlier for earlier, later in pairwise(times)) < 0.035, "each would take 40 ms"


def test_nothing_arrives_before_the_delay_is_over(http: httpx.Client) -> None:
    started = time.monotonic()
    with http.stream("POST", "/v1/messages", json=body("[[delay=0.2]] Hello.", stream=True)) as response:
        assert time.monotonic() - started > 0.19
        response.read()
