"""Reads server-sent events as they arrive, and records the time of each event."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx


@dataclass(frozen=True)
class Event:
    """One event. `at` is the number of seconds since the request was sent."""

    id: int
    type: str
    data: dict[str, Any]
    at: float


def read_events(response: httpx.Response, began: float) -> Iterator[Event]:
    """Yield the events of a response. Fail on a line that is neither a field of an event nor a comment."""
    fields: dict[str, str] = {}
    for line in response.iter_lines():
        if line.startswith(":"):
            continue
        if line:
            name, _, value = line.partition(": ")
            assert name in {"id", "event", "data"}, line
            assert name not in fields, line
            fields[name] = value
        else:
            yield Event(int(fields["id"]), fields["event"], json.loads(fields["data"]), time.monotonic() - began)
            fields = {}
    assert not fields


def stream_chat(client: httpx.Client, message: str, **fields: Any) -> list[Event]:
    """Send one message. Return all events of the stream."""
    began = time.monotonic()
    with client.stream("POST", "/v1/chat/stream", json={"message": message, **fields}) as response:
        assert response.status_code == 200, response.read()
        assert response.headers["content-type"].startswith("text/event-stream")
        return list(read_events(response, began))


def start_and_leave(client: httpx.Client, message: str, *, after: int, **fields: Any) -> list[Event]:
    """Send one message, read `after` events, and close the connection. Return the events."""
    began = time.monotonic()
    seen: list[Event] = []
    with client.stream("POST", "/v1/chat/stream", json={"message": message, **fields}) as response:
        assert response.status_code == 200, response.read()
        for event in read_events(response, began):
            seen.append(event)
            if len(seen) == after:
                break
    return seen
