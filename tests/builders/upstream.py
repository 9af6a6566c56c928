"""Anthropic's Messages API in memory, called through the real SDK and our adapter. Tests choose the response bytes."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx2
import pytest
from anthropic import Anthropic, DefaultHttpxClient
from atrium.kernel.errors import ModelFailed
from atrium.llm.anthropic.provider import AnthropicProvider, Channel
from atrium.llm.connection import make_http_client
from atrium.llm.model import Completed, ModelEvent, ModelMessage, ModelRequest, Text
from atrium.llm.retries import RetryPolicy

from infra.local.model_server.protocol import ApiError
from infra.local.model_server.request import Caller, MessagesRequest, read_prompt

type Handler = Callable[[httpx2.Request], httpx2.Response]
type Event = Mapping[str, object]

HELLO = ModelRequest("claude-haiku-5-5", "", (ModelMessage("user", (Text("Hello"),)),), 100)
START: Event = {
    "type": "message_start",
    "message": {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-haiku-5-5",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {"input_tokens": 9, "output_tokens": 1},
    },
}
STOP: Event = {"type": "message_stop"}


def provider_over(handler: Handler, *, retries: int = 3) -> AnthropicProvider:
    """Return a provider that sends its requests to the handler and retries without pauses."""
    http = make_http_client(DefaultHttpxClient, httpx2.MockTransport(handler))
    client = Anthropic(api_key="key", base_url="http://model.test", max_retries=0, http_client=http)
    channel = Channel("anthropic", lambda: client, lambda model: model.id)
    return AnthropicProvider(channel, policy=RetryPolicy(retries=retries), draw=lambda: 0.0)


def provider_of(*events: Event | str) -> AnthropicProvider:
    """Return a provider that answers each call with these events. A string is sent unchanged."""
    return provider_over(lambda _request: stream_of(events), retries=0)


def stream_of(events: Iterable[Event | str]) -> httpx2.Response:
    content = b"".join(each.encode() if isinstance(each, str) else encode(each) for each in events)
    return httpx2.Response(200, headers={"content-type": "text/event-stream", "request-id": "req_1"}, content=content)


def encode(event: Event) -> bytes:
    return f"event: {event.get('type')}\ndata: {json.dumps(event)}\n\n".encode("utf-8", "surrogatepass")


def opened(index: int, **block: object) -> Event:
    return {"type": "content_block_start", "index": index, "content_block": block}


def piece(index: int, kind: str, **delta: object) -> Event:
    return {"type": "content_block_delta", "index": index, "delta": {"type": kind, **delta}}


def closed(index: int) -> Event:
    return {"type": "content_block_stop", "index": index}


def reason(stop_reason: str, **usage: object) -> Event:
    return {
        "type": "message_delta",
        "delta": {"stop_reason": stop_reason, "stop_sequence": None},
        "usage": {"output_tokens": 5, **usage},
    }


def said(text: str, index: int = 0) -> tuple[Event, ...]:
    """Return the events of a text block."""
    return (opened(index, type="text", text=""), piece(index, "text_delta", text=text), closed(index))


def called(
    arguments: str, index: int = 0, *, call_id: object = "toolu_1", name: object = "calculator"
) -> tuple[Event, ...]:
    """Return the events of a tool call. `arguments` is JSON text."""
    return (
        opened(index, type="tool_use", id=call_id, name=name, input={}),
        piece(index, "input_json_delta", partial_json=arguments),
        closed(index),
    )


@dataclass
class Upstream:
    """A handler that returns scripted answers in order, and then always "Hello."

    An invalid request gets the API's 400 response. `requests` contains the received bodies. A request whose messages
    contain tool calls or tool results must declare tools, as other servers of this API require.
    """

    answers: list[httpx2.Response] = field(default_factory=list)
    requests: list[dict[str, Any]] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)

    def say(self, *events: Event | str) -> None:
        self.answers.append(stream_of(events))

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        body = json.loads(request.content)
        self.requests.append(body)
        try:
            read_prompt(MessagesRequest, body, Caller("2026-10-21", beta=False))
            _require_tools(body)
        except ApiError as error:
            self.refusals.append(error.message)
            return httpx2.Response(error.status, json=error.body("req_1"))
        return self.answers.pop(0) if self.answers else stream_of([START, *said("Hello."), reason("end_turn"), STOP])


def _require_tools(body: dict[str, Any]) -> None:
    kinds = {block["type"] for message in body["messages"] for block in message["content"]}
    if kinds & {"tool_use", "tool_result"} and not body.get("tools"):
        raise ApiError(400, "Requests which include `tool_use` or `tool_result` blocks must define tools.")


def answer(*events: Event | str, request: ModelRequest = HELLO) -> tuple[list[ModelEvent], Completed]:
    """Return the deltas that the provider yields for these events, and its final event."""
    *deltas, end = provider_of(*events).open(request, deadline_seconds=5)
    assert isinstance(end, Completed)
    return deltas, end


def broken(*events: Event | str) -> str:
    """Assert that an answer with these events fails without a retry. Return the logged reason."""
    upstream = Upstream()
    upstream.say(*events)
    with pytest.raises(ModelFailed) as caught:
        list(provider_over(upstream).open(HELLO, deadline_seconds=5))
    assert len(upstream.requests) == 1
    assert "broken_answer" in caught.value.internal
    assert "request req_1" in caught.value.internal
    return caught.value.internal


def texts(*pieces: str) -> list[Event]:
    """Return the start event of an answer, and the events of a text block with one delta per piece."""
    return [START, opened(0, type="text", text=""), *(piece(0, "text_delta", text=each) for each in pieces), closed(0)]
