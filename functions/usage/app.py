"""The usage function: `GET /v1/usage` and `GET /v1/limits`."""

from atrium.bootstrap import RuntimeSource, runtime
from atrium.http.app import create_app
from atrium.http.handler import make_handler
from fastapi import FastAPI

from functions.usage import limits, usage


def build(source: RuntimeSource = runtime) -> FastAPI:
    """Return the FastAPI application. Tests pass a test runtime."""
    return create_app(title="Usage", routers=[usage.router, limits.router], runtime=source)


app = build()
handler = make_handler(app)
