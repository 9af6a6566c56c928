"""The sessions function: the routes of sessions, their messages, files and data sets."""

from atrium.bootstrap import RuntimeSource, runtime
from atrium.http.app import create_app
from atrium.http.handler import make_handler
from fastapi import FastAPI

from functions.sessions import datasets, exports, files, sessions


def build(source: RuntimeSource = runtime) -> FastAPI:
    """Return the FastAPI application. Tests pass a test runtime."""
    routers = [sessions.router, exports.router, files.router, datasets.router]
    return create_app(title="Sessions", routers=routers, runtime=source)


app = build()
handler = make_handler(app)
