"""Channels whose HTTP ends in a function of the test: the real SDK over bytes that the test writes."""

import json
from collections.abc import Callable, Iterable, Mapping

import httpx2
from anthropic import Anthropic
from atrium.llm.anthropic.channel import Channel
from atrium.llm.anthropic.provider import AnthropicProvider
from atrium.llm.model import Message, ModelRequest, Text
from atrium.llm.retries import RetryPolicy

type Handler = Callable[[httpx2.Request], httpx2.Response]
type Event = Mapping[str, object]

HELLO = ModelRequest("claude-haiku-5-5", "", (Message("user", (Text("Hello"),)),), 100)
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
    """Return a provider whose requests go to the handler; pauses between retries are none."""
    http = httpx2.Client(transport=httpx2.MockTransport(handler))
    client = Anthropic(api_key="key", base_url="http://model.test", max_retries=0, http_client=http)
    channel = Channel("anthropic", lambda: client, lambda model: model.id)
    return AnthropicProvider(channel, policy=RetryPolicy(retries=retries), draw=lambda: 0.0)


def provider_of(*events: Event | str) -> AnthropicProvider:
    """Return a provider that answers each call with these events (text stands as it is)."""
    return provider_over(lambda _request: stream_of(events), retries=0)


def stream_of(events: Iterable[Event | str]) -> httpx2.Response:
    lines = (each if isinstance(each, str) else encode(each) for each in events)
    return httpx2.Response(200, headers={"content-type": "text/event-stream"}, content="".join(lines).encode())


def encode(event: Event) -> str:
    return f"event: {event['type']}\ndata: {json.dumps(event)}\n\n"


def opened(index: int, **block: object) -> Event:
    return {"type": "content_block_start", "index": index, "content_block": block}


def piece(index: int, kind: str, **delta: object) -> Event:
    return {"type": "content_block_delta", "index": index, "delta": {"type": kind, **delta}}


def closed(index: int) -> Event:
    return {"type": "content_block_stop", "index": index}


def reason(stop_reason: str, **usage: int) -> Event:
    return {
        "type": "message_delta",
        "delta": {"stop_reason": stop_reason, "stop_sequence": None},
        "usage": {"output_tokens": 5, **usage},
    }
