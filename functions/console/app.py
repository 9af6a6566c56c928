"""The console function: public routes for the OpenAPI document, HTML pages and health checks."""

from atrium.bootstrap import RuntimeSource
from atrium.bootstrap import runtime as process_runtime
from atrium.http.app import create_app
from atrium.http.handler import make_handler
from fastapi import FastAPI

from functions.console import contract, documents, errors, health


def build(runtime: RuntimeSource = process_runtime) -> FastAPI:
    """Return the FastAPI application. Tests pass a test runtime."""
    return create_app(
        title="Atrium console",
        routers=[health.router, contract.router, documents.router, errors.router],
        runtime=runtime,
    )


app = build()
handler = make_handler(app)
