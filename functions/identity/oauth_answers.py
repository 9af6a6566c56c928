"""Responses of `/oauth/*`: JSON with `Cache-Control: no-store`, and errors in the format of RFC 6749 §5.2."""

from collections.abc import Callable, Mapping
from typing import Any

from atrium.http import logs
from atrium.http.context import request_gateway_context
from atrium.http.models import StrictModel
from atrium.http.validation import takes_any_query
from atrium.identity.oauth.failures import OAuthRefused
from atrium.identity.oauth.parameters import Parameters, read_form
from atrium.kernel.errors import Unavailable
from atrium.kernel.media_types import read_media_type
from fastapi import Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response

FORM_TYPE = "application/x-www-form-urlencoded"
FORM_BYTES_MAX = 65_536
NEVER_STORED = {"Cache-Control": "no-store", "Pragma": "no-cache"}


class OAuthProblem(StrictModel):
    """Error response of an OAuth endpoint (RFC 6749 §5.2)."""

    error: str
    """Error code from RFC 6749."""
    error_description: str
    """Description of the error."""


REFUSALS: dict[int | str, dict[str, Any]] = {
    400: {"model": OAuthProblem, "description": "Error response of RFC 6749 §5.2"},
    401: {"model": OAuthProblem, "description": "Client authentication in the `Authorization` header failed"},
}


async def read_oauth_form(request: Request) -> Parameters:
    """Return the form parameters of a request. Raises `OAuthRefused` if the body is not a form or is too large."""
    body = await request.body()
    if not is_form(request) or len(body) > FORM_BYTES_MAX:
        raise OAuthRefused("invalid_request", f"the body must be {FORM_TYPE} and at most 64 KiB")
    return read_form(body)


def is_form(request: Request) -> bool:
    """Return whether the request's media type is a form."""
    return read_media_type(request.headers.get("content-type", ""))[0] == FORM_TYPE


def describe_form(required: str, fields: Mapping[str, str]) -> dict[str, Any]:
    """Return the OpenAPI description of a form with its required field and the description of each field."""
    properties = {name: {"type": "string", "description": text} for name, text in fields.items()}
    schema = {"type": "object", "required": [required], "properties": properties}
    return {"requestBody": {"description": "A form.", "required": True, "content": {FORM_TYPE: {"schema": schema}}}}


def answer_json(content: object) -> JSONResponse:
    return JSONResponse(content, headers=NEVER_STORED)


def answer_refusal(refused: OAuthRefused, *, basic: bool = False) -> JSONResponse:
    """Return an error response with status 400, or 401 if client authentication in the header (`basic`) failed."""
    logs.logger().info("refused", code=refused.error, reason=refused.internal or refused.description)
    failed = basic and refused.error == "invalid_client"
    headers = NEVER_STORED | ({"WWW-Authenticate": 'Basic realm="atrium"'} if failed else {})
    content = {"error": refused.error, "error_description": refused.description}
    return JSONResponse(content, 401 if failed else 400, headers)


def oauth_endpoint(endpoint: Callable[..., Any]) -> Callable[..., Any]:
    """Mark an endpoint as an OAuth endpoint, which ignores unknown parameters."""
    return takes_any_query(endpoint)


async def answer_oauth(request: Request, work: Callable[[Parameters], Response]) -> Response:
    """Read the form, call `work` in a thread, and return its response or an OAuth error response."""
    try:
        parameters = await read_oauth_form(request)
        return await run_in_threadpool(work, parameters)
    except OAuthRefused as refused:
        return answer_refusal(refused, basic="authorization" in request.headers)
    except Unavailable as error:
        logs.logger().warning("failure", code=error.code, status=error.status, internal=error.internal)
        content = {"error": "temporarily_unavailable", "error_description": error.title}
        named = {"x-request-id": request_gateway_context(request).request_id}
        return JSONResponse(content, 503, {**NEVER_STORED, **named, "Retry-After": "1"})
