"""The sessions function: the routes of sessions, their messages, and files."""

from atrium.bootstrap import RuntimeSource, runtime
from atrium.http.app import create_app
from atrium.http.handler import make_handler
from fastapi import FastAPI

from functions.sessions import files, sessions


def build(source: RuntimeSource = runtime) -> FastAPI:
    """Return the FastAPI application. Tests pass a test runtime."""
    return create_app(title="Sessions", routers=[sessions.router, files.router], runtime=source)


app = build()
handler = make_handler(app)
