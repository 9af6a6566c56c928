"""Problem responses in the OpenAPI document.

A route lists only its specific errors, `responses=problem_responses(409, 502)`; `openapi.py` adds the general ones.
"""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from atrium.http.problems import MEDIA_TYPE

PROBLEM_REFERENCE = {"$ref": "#/components/schemas/Problem"}

_DESCRIPTIONS = {
    400: "The request is malformed, names no tenant, or has a cursor of another list",
    401: "The credential is missing or not valid",
    403: "The credential is valid, but must not do this",
    404: "The resource was not found",
    409: "The call conflicts with the current state, or the same call is still running",
    413: "The body is larger than 1 MiB",
    415: "The body is not application/json",
    422: "The request does not match the schema; `errors` lists every fault",
    429: "A limit is reached",
    500: "Internal error",
    502: "The model or sign-in provider failed",
    503: "A part of the platform is temporarily unavailable",
    504: "The model did not answer in time",
}
_RETRY_AFTER = {
    "Retry-After": {
        "description": "Seconds after which the call can succeed",
        "schema": {"type": "integer", "minimum": 1},
    }
}
REQUEST_ID_HEADER = {
    "x-request-id": {"description": "Id of the call; name it when you ask about it", "schema": {"type": "string"}}
}


class FieldFault(BaseModel):
    """A field or query parameter that is not valid."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    loc: list[str | int]
    """Where: `body` or `query`, then names of fields and positions in lists."""
    msg: str
    """What is valid."""
    type: str
    """Kind of fault, as `missing`."""


class Problem(BaseModel):
    """Why a call failed (RFC 9457). Refusals by a limit add `limit`, `used`, `max` and `resets_at`."""

    model_config = ConfigDict(use_attribute_docstrings=True, extra="allow")

    type: Annotated[str, Field(json_schema_extra={"format": "uri-reference"})]
    """Page that explains the code."""
    title: str
    """Short text of the code."""
    status: Annotated[int, Field(ge=400, le=599)]
    """HTTP status."""
    detail: str
    """What was wrong with this call, and what is valid."""
    code: Annotated[str, Field(pattern="^[A-Z][A-Z_]+$")]
    """Stable code. Decide by it, not by a text."""
    request_id: str
    """Id of the call. Name it when you ask about the call."""
    retryable: bool
    """Whether the same call can succeed later."""
    errors: list[FieldFault] | None = None
    """With 422: every field that is not valid, at most 20."""
    limit: str | None = None
    """Name of the limit that rejected the call."""
    used: int | float | str | None = None
    """How much of the limit is used, in its unit."""
    max: int | float | str | None = None
    """Upper bound of the limit, in its unit."""
    resets_at: Annotated[str | None, Field(json_schema_extra={"format": "date-time"})] = None
    """When the limit frees. Null if it does not free with time."""
    run_id: str | None = None
    """Run that failed, if one had started."""
    retry_after_seconds: int | None = None
    """Of a run that failed: seconds after which another one can succeed."""


def problem_schemas() -> dict[str, Any]:
    """Return the schemas that problem responses refer to, by component name."""
    models: list[tuple[type[BaseModel], JsonSchemaMode]] = [(Problem, "serialization")]
    _, definitions = models_json_schema(models, ref_template="#/components/schemas/{model}")
    found: dict[str, Any] = definitions["$defs"]
    return found


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
