"""The chat function. One process serves one call at a time, behind the Lambda Web Adapter (`run.sh`).

The modules imported here are part of the SnapStart snapshot, so they must not open connections or generate random
values during import.
"""

import atrium.llm.anthropic.provider  # noqa: F401 - import the SDK of the default model at init, not in the first call
from atrium.bootstrap import RuntimeSource, runtime
from atrium.http.app import create_app
from fastapi import FastAPI

from functions.chat import approvals, chat, health, limits, model_list, runs


def build(source: RuntimeSource = runtime) -> FastAPI:
    """Return the FastAPI application. Tests pass a test runtime."""
    routers = [chat.router, runs.router, approvals.router, limits.router, model_list.router, health.router]
    return create_app(title="Chat", routers=routers, runtime=source, context_source="adapter")


app = build()
