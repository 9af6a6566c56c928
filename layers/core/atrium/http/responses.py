"""Problem responses in the OpenAPI document.

A route declares only its specific errors, for example with `responses=problem_responses(409, 502)`. `openapi.py` adds
the common errors.
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
    """A field or query parameter that is invalid."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    loc: list[str | int]
    """Location of the error: `body` or `query`, then field names and list indexes."""
    msg: str
    """The valid values."""
    type: str
    """Type of the error, such as `missing`."""


class Problem(BaseModel):
    """The reason why a call failed (RFC 9457). If a limit rejected the call, `limit`, `used`, `max` and `resets_at` are
    present.
    """

    model_config = ConfigDict(use_attribute_docstrings=True, extra="allow")

    type: Annotated[str, Field(json_schema_extra={"format": "uri-reference"})]
    """URL of the page that explains the code."""
    title: str
    """Short description of the code."""
    status: Annotated[int, Field(ge=400, le=599)]
    """HTTP status."""
    detail: str
    """The problem with this call, and the valid values."""
    code: Annotated[str, Field(pattern="^[A-Z][A-Z_]+$")]
    """Stable error code. Use it, not the texts, to handle errors."""
    request_id: str
    """Id of the call. Include it in support requests."""
    retryable: bool
    """Whether the same call may succeed later."""
    errors: list[FieldFault] | None = None
    """The invalid fields of a 422 response, at most 20."""
    limit: str | None = None
    """Name of the limit that rejected the call."""
    used: int | float | str | None = None
    """Current usage of the limit, in its unit."""
    max: int | float | str | None = None
    """Maximum value of the limit, in its unit."""
    resets_at: Annotated[str | None, Field(json_schema_extra={"format": "date-time"})] = None
    """Time at which the limit resets. Null if it does not reset with time."""
    run_id: str | None = None
    """Id of the run that failed, if a run had started."""
    retry_after_seconds: int | None = None
    """For a failed run: seconds after which another run may succeed."""


def problem_schemas(*bodies: type[BaseModel]) -> dict[str, Any]:
    """Return the schemas that error responses refer to, by component name. `bodies` are those of other formats."""
    models: list[tuple[type[BaseModel], JsonSchemaMode]] = [
        (Problem, "serialization"),
        *((each, "serialization") for each in bodies),
    ]
    _, definitions = models_json_schema(models, ref_template="#/components/schemas/{model}")
    found: dict[str, Any] = definitions["$defs"]
    return found


def reference_response(status: int) -> dict[str, Any]:
    return {"$ref": f"#/components/responses/Problem{status}"}


def vendor_response(status: int, body: type[BaseModel]) -> dict[str, Any]:
    """Return the documentation of an error that the gateway sends as a problem, and the function in another format."""
    found = describe_response(status)
    schema = {"$ref": f"#/components/schemas/{body.__name__}"}
    return {**found, "content": {**found["content"], "application/json": {"schema": schema}}}


def shared_responses() -> dict[str, dict[str, Any]]:
    """Return all problem responses as components that routes refer to."""
    return {f"Problem{status}": describe_response(status) for status in _DESCRIPTIONS}


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI documentation of error responses with these statuses, for the `responses` of a route."""
    return {status: describe_response(status) for status in statuses}


def describe_response(status: int) -> dict[str, Any]:
    retries = _RETRY_AFTER if status in {429, 502, 503, 504} else {}
    return {
        "description": _DESCRIPTIONS[status],
        "headers": REQUEST_ID_HEADER | retries,
        "content": {MEDIA_TYPE: {"schema": PROBLEM_REFERENCE}},
    }
