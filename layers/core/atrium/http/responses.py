"""Problem responses in the OpenAPI document.

A route lists only its specific errors, `responses=problem_responses(409, 502)`; `openapi.py` adds the general ones.
"""

from typing import Any

from atrium.http.problems import MEDIA_TYPE

PROBLEM_REFERENCE = {"$ref": "#/components/schemas/Problem"}

_DESCRIPTIONS = {
    400: "The request is malformed, has no tenant, or has a cursor of another list",
    401: "The credential is missing or not valid",
    403: "The credential does not permit this operation",
    404: "The resource was not found",
    409: "The request conflicts with the current state, or the same call is still running",
    413: "The body is larger than 1 MiB",
    415: "The body is not application/json",
    422: "The request does not match the schema",
    429: "A limit is reached",
    500: "Internal error",
    502: "The model provider failed",
    503: "A part of the platform is temporarily unavailable",
    504: "The model provider did not answer in time",
}
_RETRY_AFTER = {
    "Retry-After": {
        "description": "Seconds after which the call can succeed",
        "schema": {"type": "integer", "minimum": 1},
    }
}
REQUEST_ID_HEADER = {
    "x-request-id": {"description": "The id of this call, for support requests", "schema": {"type": "string"}}
}

PROBLEM_SCHEMA: dict[str, Any] = {
    "title": "Problem",
    "description": "RFC 9457. `type` is a page about the code; quota refusals add limit, used, max and resets_at.",
    "type": "object",
    "required": ["type", "title", "status", "detail", "code", "request_id", "retryable"],
    "properties": {
        "type": {"type": "string", "format": "uri-reference"},
        "title": {"type": "string"},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "detail": {"type": "string"},
        "code": {"type": "string", "pattern": "^[A-Z][A-Z_]+$"},
        "request_id": {"type": "string"},
        "retryable": {"type": "boolean"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["loc", "msg", "type"],
                "properties": {
                    "loc": {"type": "array", "items": {"type": ["string", "integer"]}},
                    "msg": {"type": "string"},
                    "type": {"type": "string"},
                },
            },
        },
        "limit": {"type": "string"},
        "used": {"type": ["number", "string"]},
        "max": {"type": ["number", "string"]},
        "resets_at": {"type": ["string", "null"], "format": "date-time"},
        "run_id": {"type": "string", "description": "The id of the failed run, if one was started"},
        "retry_after_seconds": {
            "type": "integer",
            "description": "The same value as the header Retry-After, for a failed run",
        },
    },
}


def reference_response(status: int) -> dict[str, Any]:
    return {"$ref": f"#/components/responses/Problem{status}"}


def shared_responses() -> dict[str, dict[str, Any]]:
    """Return all problem responses as components, which routes refer to."""
    return {f"Problem{status}": describe_response(status) for status in _DESCRIPTIONS}


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the documentation of these errors, for the `responses` of a route."""
    return {status: describe_response(status) for status in statuses}


def describe_response(status: int) -> dict[str, Any]:
    retries = _RETRY_AFTER if status in {429, 502, 503, 504} else {}
    return {
        "description": _DESCRIPTIONS[status],
        "headers": REQUEST_ID_HEADER | retries,
        "content": {MEDIA_TYPE: {"schema": PROBLEM_REFERENCE}},
    }
