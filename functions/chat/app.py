"""The chat function. One process serves one call at a time, behind the Lambda Web Adapter (`run.sh`).

The modules imported here are part of the SnapStart snapshot, so they must not open connections or generate random
values during import.
"""

import atrium.llm.anthropic.provider  # noqa: F401 - import the SDK of the default model at init, not in the first call
from atrium.bootstrap import RuntimeSource, runtime
from atrium.http.app import create_app
from fastapi import FastAPI

from functions.chat import approvals, chat, completions, health, limits, messages, model_list, runs
from functions.chat.vendor_errors import ANTHROPIC_FORMAT, OPENAI_FORMAT

_ERROR_FORMATS = {
    "/v1/chat/completions": OPENAI_FORMAT,
    "/v1/messages": ANTHROPIC_FORMAT,
    "/v1/messages/count_tokens": ANTHROPIC_FORMAT,
}


def build(source: RuntimeSource = runtime) -> FastAPI:
    """Return the FastAPI application. Tests pass a test runtime."""
    sources = (chat, completions, messages, runs, approvals, limits, model_list, health)
    routers = [each.router for each in sources]
    return create_app(
        title="Chat", routers=routers, runtime=source, context_source="adapter", error_formats=_ERROR_FORMATS
    )


app = build()
