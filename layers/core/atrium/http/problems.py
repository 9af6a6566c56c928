"""Renders errors as `application/problem+json` (RFC 9457) for all functions."""

from collections.abc import Mapping
from typing import Any

from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from atrium.kernel.errors import (
    AtriumError,
    Malformed,
    MethodNotAllowed,
    NotFound,
    PayloadTooLarge,
    UnsupportedMediaType,
)

MEDIA_TYPE = "application/problem+json"
_UNAVAILABLE, _UNAVAILABLE_SECONDS = 503, 1
"""Default `Retry-After` of a 503 in seconds. The gateway returns the same value if its authorizer fails."""


class ProblemResponse(JSONResponse):
    """A problem response. `retryable` states whether the same call may succeed later."""

    media_type = MEDIA_TYPE

    def __init__(self, content: dict[str, Any], status_code: int, headers: Mapping[str, str], retryable: bool) -> None:
        super().__init__(content, status_code, dict(headers))
        self.retryable = retryable


def describe_problem(error: AtriumError, *, request_id: str, public_url: str) -> dict[str, Any]:
    """Return the problem document for a response body or for a stream's `error` event.

    The member `type` is the URL of a page under `public_url`. If the deployment has no public URL, `public_url` is the
    path of the stage.
    """
    return {
        "type": f"{public_url}/docs/errors/{error.code}",
        "title": error.title,
        "status": error.status,
        "detail": error.detail,
        "code": error.code,
        "request_id": request_id,
        "retryable": error.retryable,
        **error.extensions,
    }


def render_problem(
    error: AtriumError, *, request_id: str, public_url: str, headers: Mapping[str, str] | None = None
) -> ProblemResponse:
    """Return the response for an error.

    The `Retry-After` header is set if the error has a retry time, and in every 503 response.
    """
    extra = {**error.headers, **(headers or {})}
    wait = error.retry_after_seconds
    if wait is None and error.status == _UNAVAILABLE:
        wait = _UNAVAILABLE_SECONDS
    if wait is not None:
        extra["Retry-After"] = str(wait)
    body = describe_problem(error, request_id=request_id, public_url=public_url)
    return ProblemResponse(body, error.status, extra, error.retryable)


def from_http_exception(error: HTTPException) -> AtriumError:
    """Return the platform's error for an HTTP exception of the framework, without the framework's text."""
    known: dict[int, type[AtriumError]] = {
        400: Malformed,
        404: NotFound,
        405: MethodNotAllowed,
        413: PayloadTooLarge,
        415: UnsupportedMediaType,
    }
    return known.get(error.status_code, AtriumError)(internal=f"the framework returned {error.status_code}")
