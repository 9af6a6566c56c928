"""The Chat Completions API in memory, called through the real SDK and our adapter. Tests choose the response bytes."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import httpx2
import pytest
from atrium.kernel.errors import ModelFailed
from atrium.llm.connection import make_http_client
from atrium.llm.model import Completed, ModelEvent, ModelRequest
from atrium.llm.openai.provider import Channel, OpenAIProvider
from atrium.llm.retries import RetryPolicy
from openai import DefaultHttpxClient, OpenAI

from tests.builders.upstream import HELLO as ASK

type Chunk = Mapping[str, object]

MODELS = {"openai": "gpt-6-luna", "zhipu": "glm-5.3-flash"}
HELLO = replace(ASK, model=MODELS["openai"])
DONE = "data: [DONE]\n\n"
USAGE: Chunk = {
    "choices": [],
    "usage": {"prompt_tokens": 9, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 0}},
}


def provider_over(
    handler: Callable[[httpx2.Request], httpx2.Response], *, vendor: str = "openai", retries: int = 3
) -> OpenAIProvider:
    """Return a provider that sends its requests to the handler and retries without pauses."""
    http = make_http_client(DefaultHttpxClient, httpx2.MockTransport(handler))
    client = OpenAI(api_key="key", base_url="http://model.test/v1", max_retries=0, http_client=http)
    return OpenAIProvider(Channel(vendor, lambda: client), policy=RetryPolicy(retries=retries), draw=lambda: 0.0)


def stream_of(chunks: Iterable[Chunk | str]) -> httpx2.Response:
    """Return a response with these chunks. A string is sent unchanged."""
    content = b"".join(
        each.encode() if isinstance(each, str) else f"data: {json.dumps(each)}\n\n".encode("utf-8", "surrogatepass")
        for each in chunks
    )
    return httpx2.Response(200, headers={"content-type": "text/event-stream", "x-request-id": "req_1"}, content=content)


def delta(reason: str | None = None, **fields: object) -> Chunk:
    return {"choices": [{"index": 0, "delta": fields, "finish_reason": reason}]}


def call(index: int = 0, **fields: object) -> Chunk:
    """Return a chunk of a tool call. `name` and `arguments` are fields of its function."""
    function = {name: fields.pop(name) for name in ("name", "arguments") if name in fields}
    return delta(tool_calls=[{"index": index, "type": "function", "function": function, **fields}])


def called(arguments: str = "{}", index: int = 0, call_id: object = "call_1", name: object = "calculator") -> Chunk:
    return call(index, id=call_id, name=name, arguments=arguments)


def stop(reason: str = "stop") -> tuple[Chunk | str, ...]:
    """Return the end of an answer: finish reason, usage and the end of the stream."""
    return delta(reason), USAGE, DONE


def answer(
    *chunks: Chunk | str, request: ModelRequest = HELLO, vendor: str = "openai"
) -> tuple[list[ModelEvent], Completed]:
    """Return the deltas that the provider yields for these chunks, and its final event."""
    provider = provider_over(lambda _request: stream_of(chunks), vendor=vendor, retries=0)
    *deltas, end = provider.open(replace(request, model=MODELS[vendor]), deadline_seconds=5)
    assert isinstance(end, Completed)
    return deltas, end


def broken(*chunks: Chunk | str) -> str:
    """Assert that an answer with these chunks fails without a retry. Return the logged reason."""
    calls: list[httpx2.Request] = []

    def handle(request: httpx2.Request) -> httpx2.Response:
        calls.append(request)
        return stream_of(chunks)

    with pytest.raises(ModelFailed) as caught:
        list(provider_over(handle).open(HELLO, deadline_seconds=5))
    assert len(calls) == 1
    assert "broken_answer" in caught.value.internal
    assert "request req_1" in caught.value.internal
    return caught.value.internal


def sent_body(request: ModelRequest, *, vendor: str = "openai") -> dict[str, Any]:
    """Return the body that the provider sends for a request."""
    bodies: list[dict[str, Any]] = []

    def handle(received: httpx2.Request) -> httpx2.Response:
        bodies.append(json.loads(received.content))
        return stream_of([delta(content="Hi"), *stop()])

    list(provider_over(handle, vendor=vendor).open(replace(request, model=MODELS[vendor]), deadline_seconds=5))
    return bodies[0]
