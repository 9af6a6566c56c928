"""Renders errors as `application/problem+json` (RFC 9457) for all functions."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
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


@dataclass(frozen=True, slots=True)
class VendorError:
    """An error in the format of another vendor's API."""

    status: int
    body: dict[str, Any]
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ErrorFormat:
    """The format of errors of another vendor's API. `write` takes the error and the id of the request.

    `body` is the model of the body, for the OpenAPI document.
    """

    write: Callable[[AtriumError, str], VendorError]
    body: type[BaseModel]


class ProblemResponse(JSONResponse):
    """The response for an error. `retryable` states whether the same call may succeed later."""

    media_type = MEDIA_TYPE

    def __init__(
        self, content: dict[str, Any], status_code: int, headers: Mapping[str, str], *, retryable: bool,
        media_type: str = MEDIA_TYPE,
    ) -> None:  # fmt: skip
        super().__init__(content, status_code, dict(headers), media_type)
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
    error: AtriumError,
    *,
    request_id: str,
    public_url: str,
    headers: Mapping[str, str] | None = None,
    error_format: ErrorFormat | None = None,
) -> ProblemResponse:
    """Return the response for an error: a problem document, or the error in another format.

    The `Retry-After` header is set if the error has a retry time, and in every 503 response.
    """
    extra = {**error.headers, **(headers or {})}
    wait = error.retry_after_seconds
    if wait is None and error.status == _UNAVAILABLE:
        wait = _UNAVAILABLE_SECONDS
    if wait is not None:
        extra["Retry-After"] = str(wait)
    if error_format is not None:
        found = error_format.write(error, request_id)
        headers = {**extra, **found.headers}
        return ProblemResponse(
            found.body, found.status, headers, retryable=error.retryable, media_type="application/json"
        )
    body = describe_problem(error, request_id=request_id, public_url=public_url)
    return ProblemResponse(body, error.status, extra, retryable=error.retryable)


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
