"""Run events as server-sent events. `error` becomes the problem object of the call that reads it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from atrium.http.dependencies import BaseUrlDep, GatewayContextDep
from atrium.http.problems import describe_problem
from atrium.runs.model import RunEvent, read_error
from fastapi import Depends

MEDIA_TYPE = "text/event-stream"
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
KEEP_ALIVE_SECONDS = 15.0
KEEP_ALIVE = b": keep-alive\n\n"
# OpenAPI 3.1 has no schema for a stream: this one is of each event, its `id`, its `event` and the JSON in its `data`.
DOCUMENTATION: dict[int | str, dict[str, Any]] = {
    200: {
        "description": (
            "A stream of server-sent events. Each event matches the schema: its lines `id` and `event`, and the JSON "
            "of its line `data`. A comment line every 15 seconds keeps the connection open."
        ),
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/RunEventAnswer"}}},
    }
}


@dataclass(frozen=True, slots=True)
class EventWriter:
    """Writes the events of one call's answer."""

    request_id: str
    base_url: str

    def data(self, event: RunEvent) -> Mapping[str, Any]:
        """Return the data of an event as the contract has it."""
        if event.type != "error":
            return event.data
        return describe_problem(read_error(event), request_id=self.request_id, public_url=self.base_url)

    def describe(self, event: RunEvent) -> dict[str, Any]:
        """Return an event as one object: its number, type and data."""
        return {"id": event.sequence, "event": event.type, "data": dict(self.data(event))}

    def encode(self, event: RunEvent | None) -> bytes:
        """Return the bytes of one event, or of a comment where there is none. JSON has no line breaks of its own."""
        if event is None:
            return KEEP_ALIVE
        data = json.dumps(self.data(event), separators=(",", ":"))
        return f"id: {event.sequence}\nevent: {event.type}\ndata: {data}\n\n".encode()


async def _event_writer(gateway_context: GatewayContextDep, base_url: BaseUrlDep) -> EventWriter:
    return EventWriter(gateway_context.request_id, base_url)


EventWriterDep = Annotated[EventWriter, Depends(_event_writer)]
