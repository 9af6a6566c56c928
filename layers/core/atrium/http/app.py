"""The FastAPI application of a function: routers in, the conventions of the contract round them."""

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import iter_route_contexts
from starlette.exceptions import HTTPException
from starlette.responses import Response

from atrium.bootstrap import RuntimeSource
from atrium.bootstrap import runtime as process_runtime
from atrium.http import logs
from atrium.http.context import read_request_envelope
from atrium.http.envelope import ContextSource
from atrium.http.openapi import build_document, name_operation
from atrium.http.problems import from_http_exception, from_validation, render_problem
from atrium.http.rim import Rim
from atrium.http.strictness import refuse_unknown_query, require_json_body
from atrium.kernel.errors import AtriumError

VERSION = "0.1.0"


class Application(FastAPI):
    """FastAPI whose document is complete (`build_document`)."""

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
) -> FastAPI:
    """Return an application. Nothing is read from the environment before the first call.

    `context_source` says where the authorizer's word is found: in the Lambda event (behind Mangum), or in the
    header that the Lambda Web Adapter writes. Only that place is trusted.
    """
    app = Application(
        title=title,
        version=VERSION,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        dependencies=[Depends(require_json_body), Depends(refuse_unknown_query)],
        generate_unique_id_function=name_operation,
    )
    app.state.runtime = runtime
    for router in routers:
        app.include_router(router)
    app.add_exception_handler(AtriumError, _answer_failure)
    app.add_exception_handler(RequestValidationError, _answer_invalid)
    app.add_exception_handler(HTTPException, _answer_framework)
    app.add_middleware(Rim, runtime=runtime, source=context_source)
    return app


async def _answer_failure(request: Request, error: Exception) -> Response:
    if not isinstance(error, AtriumError):
        raise error
    return answer_problem(request, error)


async def _answer_invalid(request: Request, error: Exception) -> Response:
    if not isinstance(error, RequestValidationError):
        raise error
    return answer_problem(request, from_validation(error.errors()))


async def _answer_framework(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    headers = {"Allow": ", ".join(_allowed_methods(request))} if error.status_code == 405 else None
    return answer_problem(request, from_http_exception(error), headers)


def answer_problem(request: Request, error: AtriumError, headers: dict[str, str] | None = None) -> Response:
    """Return the problem for a failure of this call, and log what only we may read."""
    if error.internal or error.status >= 500:
        logs.logger().warning("failure", code=error.code, status=error.status, internal=error.internal)
    public_url = request.app.state.runtime().settings.public_url
    request_id = read_request_envelope(request).request_id
    return render_problem(error, request_id=request_id, public_url=public_url, headers=headers)


def _allowed_methods(request: Request) -> list[str]:
    """Return all methods of the path; the framework names only those of the first route that matches."""
    found: set[str] = set()
    for route in iter_route_contexts(request.app.routes):
        pattern = getattr(route, "path_regex", None)
        if pattern is not None and pattern.match(request.scope["path"]):
            found |= route.methods or set()
    return sorted(found)
