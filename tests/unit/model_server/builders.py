"""Builders of requests, and a parser for event streams."""

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass

import anthropic
from anthropic.types import Message, MessageParam, ToolParam
from pydantic import JsonValue

KEY = "test-key-without-meaning"
VERSION = "2026-10-21"
MODEL = "claude-haiku-5-5"

type JsonObject = dict[str, JsonValue]

CALCULATOR: ToolParam = {
    "name": "calculator",
    "description": "Works out a sum.",
    "input_schema": {
        "type": "object",
        "properties": {"expression": {"type": "string"}},
        "required": ["expression"],
    },
}
CURRENT_TIME: ToolParam = {
    "name": "current_time",
    "description": "Tells the time.",
    "input_schema": {"type": "object", "properties": {"timezone": {"type": "string"}}},
}


def user(text: str) -> MessageParam:
    return {"role": "user", "content": text}


def assistant(text: str) -> MessageParam:
    return {"role": "assistant", "content": text}


def ask(
    client: anthropic.Anthropic, *messages: str | MessageParam, tools: Sequence[ToolParam] = (), max_tokens: int = 4096
) -> Message:
    """Send a request without streaming, and return the message. A string is a user message."""
    return client.messages.create(
        model=MODEL,
        max_tokens=max_tokens,
        messages=[user(message) if isinstance(message, str) else message for message in messages],
        tools=tools,
    )


def text_of(message: Message) -> str:
    return "".join(block.text for block in message.content if block.type == "text")


def body(*messages: JsonObject | str, **changes: JsonValue) -> JsonObject:
    """Return the JSON body of a request. `changes` replace or add fields."""
    listed: list[JsonValue] = [
        {"role": "user", "content": message} if isinstance(message, str) else message
        for message in (messages or ("Hello.",))
    ]
    return {"model": MODEL, "max_tokens": 4096, "messages": listed, **changes}


def made_up_texts(count: int) -> list[str]:
    """Return reproducible texts of brackets, names of directives, and characters with 1 to 4 bytes."""
    pieces = [
        "[",
        "]",
        "[[",
        "]]",
        "[[delay=",
        "[[tool=",
        "{",
        "}",
        '"',
        "1",
        "echo",
        "=",
        " ",
        "\n",
        "ü",
        "日",
        "🙂",
        "x",
    ]
    chance = random.Random(7)
    return ["".join(chance.choices(pieces, k=chance.randrange(40))) for _ in range(count)]


@dataclass(frozen=True)
class Frame:
    """A server-sent event with its parsed data."""

    name: str
    data: JsonObject


def read_frames(stream: bytes) -> list[Frame]:
    """Return the events of a stream. Assert that each event has exactly one `event:` line and one `data:` line."""
    assert stream.endswith(b"\n\n")
    frames = []
    for raw in stream[:-2].split(b"\n\n"):
        event, data = raw.split(b"\n")
        assert event.startswith(b"event: ")
        assert data.startswith(b"data: ")
        frames.append(Frame(event[7:].decode(), json.loads(data[6:])))
    return frames
