"""The Lambda handler of an application behind API Gateway, without streaming."""

import asyncio
from functools import cache
from typing import Any

from fastapi import FastAPI
from mangum import Mangum

_TEXT_TYPES = [
    "text/", "application/json", "application/problem+json", "application/jsonl", "application/javascript",
    "image/svg+xml",
]  # fmt: skip


class Handler(Mangum):
    """A Mangum handler with one event loop per process."""

    def __call__(self, event: dict[str, Any], context: Any) -> dict[str, Any]:
        asyncio.set_event_loop(_loop())
        return super().__call__(event, context)


def make_handler(app: FastAPI) -> Handler:
    """Return the Lambda handler of an application.

    Mangum encodes a response as base64 unless its content type is in a list. This handler's list also contains the
    content type of problem documents.
    """
    asyncio.set_event_loop(_loop())
    return Handler(app, lifespan="off", text_mime_types=_TEXT_TYPES)


@cache
def _loop() -> asyncio.AbstractEventLoop:
    return asyncio.new_event_loop()
