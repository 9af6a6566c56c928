"""Claude on Amazon Bedrock in memory, called through the real SDK and our adapter. Tests choose the response bytes."""

import base64
import json
import struct
import zlib
from collections.abc import Callable
from dataclasses import replace

import httpx2
from anthropic.lib.bedrock import AnthropicBedrock
from atrium.llm.anthropic.provider import AnthropicProvider, bedrock_channel

from tests.builders.upstream import Event


def bedrock_over(handler: Callable[[httpx2.Request], httpx2.Response]) -> AnthropicProvider:
    channel = bedrock_channel("eu")
    http = httpx2.Client(transport=httpx2.MockTransport(handler))

    def client() -> AnthropicBedrock:
        made = channel.client()
        assert isinstance(made, AnthropicBedrock)
        return made.copy(http_client=http)

    return AnthropicProvider(replace(channel, client=client))


def frame(event: Event) -> bytes:
    """Return an event in Amazon's event-stream encoding."""
    return framed(json.dumps({"bytes": base64.b64encode(json.dumps(event).encode()).decode()}).encode())


def framed(payload: bytes) -> bytes:
    headers = b""
    for name, value in ((b":message-type", b"event"), (b":event-type", b"chunk")):
        headers += bytes([len(name)]) + name + b"\x07" + struct.pack(">H", len(value)) + value
    prelude = struct.pack(">II", len(headers) + len(payload) + 16, len(headers))
    message = prelude + struct.pack(">I", zlib.crc32(prelude)) + headers + payload
    return message + struct.pack(">I", zlib.crc32(message))
