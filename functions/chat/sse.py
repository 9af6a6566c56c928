"""Run events as server-sent events. `error` becomes the problem object of the call that reads it."""

import json
from collections.abc import Mapping
from typing import Any

from atrium.http.problems import describe_problem
from atrium.kernel.errors import failure_of
from atrium.runs.model import RunEvent

MEDIA_TYPE = "text/event-stream"
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
KEEP_ALIVE_SECONDS = 15.0
KEEP_ALIVE = b": keep-alive\n\n"


def event_data(event: RunEvent, *, request_id: str, public_url: str) -> Mapping[str, Any]:
    """Return the data of an event as the contract has it."""
    if event.type != "error":
        return event.data
    failure = failure_of(str(event.data["code"]), str(event.data["detail"]))
    return describe_problem(failure, request_id=request_id, public_url=public_url)


def encode_event(event: RunEvent, *, request_id: str, public_url: str) -> bytes:
    """Return the bytes of one event; JSON has no line breaks of its own, so one data line is enough."""
    data = json.dumps(event_data(event, request_id=request_id, public_url=public_url), separators=(",", ":"))
    return f"id: {event.sequence}\nevent: {event.type}\ndata: {data}\n\n".encode()
