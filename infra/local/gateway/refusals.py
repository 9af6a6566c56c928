"""Renders API Gateway's error responses according to the template's gateway responses or AWS's defaults.

`$context.…` and `$stageVariables.…` in a body are replaced with their values, or with an empty string. The source of a
header is a literal in quotes, a value of the request context or a request header. A header without a value is omitted.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from infra.local.gateway.api import CustomResponse

_STATUSES = {
    "ACCESS_DENIED": 403,
    "API_CONFIGURATION_ERROR": 500,
    "AUTHORIZER_CONFIGURATION_ERROR": 500,
    "AUTHORIZER_FAILURE": 500,
    "BAD_REQUEST_BODY": 400,
    "BAD_REQUEST_PARAMETERS": 400,
    "DEFAULT_4XX": 403,
    "DEFAULT_5XX": 500,
    "INTEGRATION_FAILURE": 504,
    "INTEGRATION_TIMEOUT": 504,
    "MISSING_AUTHENTICATION_TOKEN": 403,
    "REQUEST_TOO_LARGE": 413,
    "THROTTLED": 429,
    "UNAUTHORIZED": 401,
    "UNSUPPORTED_MEDIA_TYPE": 415,
}
_MESSAGES = {
    "ACCESS_DENIED": "User is not authorized to access this resource",
    "MISSING_AUTHENTICATION_TOKEN": "Missing Authentication Token",
    "REQUEST_TOO_LARGE": "Request Too Long",
    "THROTTLED": "Too Many Requests",
    "UNAUTHORIZED": "Unauthorized",
    "INTEGRATION_TIMEOUT": "Endpoint request timed out",
}
_DEFAULT_TEMPLATE = '{"message":$context.error.messageString}'
_VARIABLE = re.compile(r"\$(?:\{((?:context|stageVariables)\.[\w.-]+)\}|((?:context|stageVariables)(?:\.\w+)+))")
_HEADER_PREFIX = "gatewayresponse.header."


@dataclass(frozen=True)
class Refusal:
    """An error response of the gateway.

    `kind` is the gateway response type, and `authorizer` is the context that the authorizer returned. `status`
    overrides the default status of the type. For example, a failed function causes DEFAULT_5XX with status 502.
    """

    kind: str
    authorizer: Mapping[str, Any] | None = None
    status: int | None = None


@dataclass(frozen=True)
class Answer:
    """An HTTP response. Header names are in lower case."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


def render_refusal(
    refusal: Refusal,
    responses: Mapping[str, CustomResponse],
    context: Mapping[str, Any],
    request_headers: Mapping[str, str],
) -> Answer:
    """Return the HTTP response for a refusal.

    The response is defined by the template's gateway response for the refusal's type, or for DEFAULT_4XX or
    DEFAULT_5XX. If the template defines neither, AWS's default is used.
    """
    status = refusal.status or _STATUSES[refusal.kind]
    family = "DEFAULT_4XX" if status < 500 else "DEFAULT_5XX"
    custom = responses.get(refusal.kind) or responses.get(family) or CustomResponse(None, {}, {})
    values = {**context, "authorizer": refusal.authorizer or {}, "error": _describe(refusal.kind)}
    headers = {"content-type": "application/json"}
    for name, source in custom.headers.items():
        value = _read_source(source, values, request_headers)
        if name.startswith(_HEADER_PREFIX) and value is not None:
            headers[name.removeprefix(_HEADER_PREFIX).lower()] = value
    template = custom.templates.get("application/json") or next(iter(custom.templates.values()), _DEFAULT_TEMPLATE)
    body = _VARIABLE.sub(lambda found: _look_up(values, found[1] or found[2]) or "", template)
    headers["x-amzn-requestid"] = str(context.get("requestId", ""))
    return Answer(custom.status or status, tuple(headers.items()), body.encode())


def _describe(kind: str) -> dict[str, str]:
    message = _MESSAGES.get(kind, "Internal server error")
    return {"message": message, "messageString": json.dumps(message), "responseType": kind}


def _read_source(source: str, values: Mapping[str, Any], request_headers: Mapping[str, str]) -> str | None:
    if len(source) >= 2 and source[0] == source[-1] == "'":
        return source[1:-1]
    if source.startswith("method.request.header."):
        return request_headers.get(source.removeprefix("method.request.header.").lower())
    return _look_up(values, source)


def _look_up(values: Mapping[str, Any], name: str) -> str | None:
    """Return the value of a variable such as `context.a.b` as text, or None if the value is missing or an object."""
    first, *rest = name.split(".")
    if first != "context":
        return None
    found: Any = values
    for part in rest:
        if not isinstance(found, Mapping) or found.get(part) is None:
            return None
        found = found[part]
    if isinstance(found, bool):
        return str(found).lower()
    return None if isinstance(found, Mapping) else str(found)
