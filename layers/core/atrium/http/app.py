"""Creates the FastAPI application of a function from its routers, with the conventions of the API."""

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import APIRouter, Depends, FastAPI

from atrium.bootstrap import RuntimeSource
from atrium.bootstrap import runtime as process_runtime
from atrium.http.context import ContextSource
from atrium.http.failures import handle_failures
from atrium.http.guarding import ReadLimits, enforce_read_limit, guard_route
from atrium.http.middleware import RequestMiddleware
from atrium.http.openapi import build_document, name_operation
from atrium.http.problems import ErrorFormat
from atrium.http.validation import refuse_unknown_query, require_json_body

VERSION = "0.1.0"


class Application(FastAPI):
    """A FastAPI application with a complete OpenAPI document (`build_document`)."""

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            self.openapi_schema = build_document(self)
        return self.openapi_schema


def create_app(
    *,
    title: str,
    routers: Sequence[APIRouter],
    runtime: RuntimeSource = process_runtime,
    context_source: ContextSource = "event",
    error_formats: Mapping[str, ErrorFormat] | None = None,
) -> FastAPI:
    """Return the FastAPI application of a function. Environment variables are read at the first request.

    `context_source` is the location of the authorizer's context: the Lambda event (behind Mangum), or the header of the
    Lambda Web Adapter. Only this source is trusted. `error_formats` are the formats of errors by path; other paths have
    problem documents.
    """
    app = Application(
        title=title,
        version=VERSION,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        dependencies=[
            Depends(enforce_read_limit),
            Depends(require_json_body),
            Depends(refuse_unknown_query),
            Depends(guard_route),
        ],
        generate_unique_id_function=name_operation,
    )
    app.state.runtime = runtime
    app.state.error_formats = error_formats or {}
    app.state.read_limits = ReadLimits()
    for router in routers:
        app.include_router(router)
    handle_failures(app)
    app.add_middleware(RequestMiddleware, runtime=runtime, source=context_source)
    return app
