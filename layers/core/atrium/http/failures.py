"""The exception handlers of an application.

Expected errors become problem documents. Internal details are only logged. The request middleware handles unexpected
exceptions.
"""

from collections.abc import Mapping

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import iter_route_contexts
from starlette.exceptions import HTTPException
from starlette.responses import Response

from atrium.http import logs
from atrium.http.context import request_gateway_context
from atrium.http.problems import ProblemResponse, from_http_exception, render_problem
from atrium.http.validation import from_validation
from atrium.kernel.errors import AtriumError


def handle_failures(app: FastAPI) -> None:
    """Register the exception handlers of an application."""
    app.add_exception_handler(AtriumError, _answer_failure)
    app.add_exception_handler(RequestValidationError, _answer_invalid)
    app.add_exception_handler(HTTPException, _answer_framework)


def render_failure(request: Request, error: AtriumError, headers: Mapping[str, str] | None = None) -> ProblemResponse:
    """Return the response for an error of a call."""
    gateway_context = request_gateway_context(request)
    base_url = request.app.state.runtime().settings.public_url or gateway_context.base_path
    error_format = request.app.state.error_formats.get(request.scope["path"])
    return render_problem(
        error, request_id=gateway_context.request_id, public_url=base_url, headers=headers, error_format=error_format
    )


async def _answer_failure(request: Request, error: Exception) -> Response:
    if not isinstance(error, AtriumError):
        raise error
    if error.internal or error.status >= 500:
        logs.logger().warning("failure", code=error.code, status=error.status, internal=error.internal)
    return render_failure(request, error)


async def _answer_invalid(request: Request, error: Exception) -> Response:
    if not isinstance(error, RequestValidationError):
        raise error
    return render_failure(request, from_validation(error.errors()))


async def _answer_framework(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    headers = {"Allow": ", ".join(_allowed_methods(request))} if error.status_code == 405 else None
    return render_failure(request, from_http_exception(error), headers)


def _allowed_methods(request: Request) -> list[str]:
    """Return the methods of all routes that match the requested path, and HEAD if GET is allowed.

    The framework returns only the methods of the first matching route.
    """
    found: set[str] = set()
    for route in iter_route_contexts(request.app.routes):
        pattern = getattr(route, "path_regex", None)
        if pattern is not None and pattern.match(request.scope["path"]):
            found |= route.methods or set()
    return sorted(found | {"HEAD"} if "GET" in found else found)
