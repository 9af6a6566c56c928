"""Encodes run events as server-sent events. The data of an `error` event is a problem object with a request id."""

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
# OpenAPI 3.1 cannot describe a stream. This schema describes one event: `id`, `event` and the JSON of `data`.
DOCUMENTATION: dict[int | str, dict[str, Any]] = {
    200: {
        "description": (
            "A stream of server-sent events. The lines `id`, `event` and `data` (JSON) of each event match the schema. "
            "A comment line is sent every 15 seconds to keep the connection open."
        ),
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/RunEventAnswer"}}},
    }
}


@dataclass(frozen=True, slots=True)
class EventWriter:
    """Encodes run events for the response of one call."""

    request_id: str
    base_url: str

    def data(self, event: RunEvent) -> Mapping[str, Any]:
        """Return the data of an event for the response."""
        if event.type != "error":
            return event.data
        return describe_problem(read_error(event), request_id=self.request_id, public_url=self.base_url)

    def describe(self, event: RunEvent) -> dict[str, Any]:
        """Return an event as an object with its sequence number, type and data."""
        return {"id": event.sequence, "event": event.type, "data": dict(self.data(event))}

    def encode(self, event: RunEvent | None) -> bytes:
        """Return the bytes of one event, or of a keep-alive comment for None."""
        if event is None:
            return KEEP_ALIVE
        data = json.dumps(self.data(event), separators=(",", ":"))
        return f"id: {event.sequence}\nevent: {event.type}\ndata: {data}\n\n".encode()


async def _event_writer(gateway_context: GatewayContextDep, base_url: BaseUrlDep) -> EventWriter:
    return EventWriter(gateway_context.request_id, base_url)


EventWriterDep = Annotated[EventWriter, Depends(_event_writer)]
