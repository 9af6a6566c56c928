"""Errors in the formats of OpenAI and Anthropic, for the compatible endpoints.

The vendors' SDKs choose their exception by the HTTP status, and repeat a call according to `x-should-retry`. A request
that does not fit the schema is a 400, as the vendors answer it.
"""

from collections.abc import Mapping
from typing import Any, Literal

from atrium.http.models import StrictModel
from atrium.http.problems import ErrorFormat, VendorError
from atrium.kernel.errors import AtriumError, ValidationFailed

_OPENAI_TYPES = {403: "permission_error", 429: "requests"}
_ANTHROPIC_TYPES = {
    401: "authentication_error", 403: "permission_error", 404: "not_found_error", 413: "request_too_large",
    429: "rate_limit_error", 503: "overloaded_error", 504: "timeout_error",
}  # fmt: skip
_FIRST_SERVER_ERROR = 500
_WAIT_SECONDS_MAX = 62
"""The longest wait after which the SDKs repeat a call: that for a limit per minute."""
# The names of fields of a model request.
_OPENAI_FIELDS = {
    "message": "messages", "stop_sequences": "stop", "output_format": "response_format", "effort": "reasoning_effort",
    "thinking": "reasoning_effort",
}  # fmt: skip
_ANTHROPIC_FIELDS = {
    "message": "messages", "output_format": "output_config.format", "effort": "output_config.effort",
    "parallel_tool_calls": "tool_choice.disable_parallel_tool_use",
}  # fmt: skip
_TAGS = frozenset({
    "system", "developer", "user", "assistant", "tool", "text", "image_url", "image", "tool_use", "tool_result",
    "thinking", "redacted_thinking",
})  # fmt: skip
CONTEXT_OVERFLOW = "context_length_exceeded"
"""The type of the fault of a conversation that does not fit the model, and OpenAI's code for it."""
VENDOR_LIMITS = {"requests_per_minute": "requests", "tokens_per_minute": "tokens"}
"""The names that both vendors have for the platform's limits."""


class OpenAIErrorBody(StrictModel):
    """What was wrong, in OpenAI's format."""

    message: str
    """The problem with this call, and the valid values."""
    type: str
    """Class of the error, such as `invalid_request_error`, `requests`, `tokens`, `insufficient_quota` or
    `server_error`.
    """
    param: str | None
    """The invalid field, or null."""
    code: str | None
    """Stable error code: OpenAI's, or the platform's in lower case. Null for an invalid field."""
    request_id: str
    """Id of the call. Include it in support requests."""


class OpenAIError(StrictModel):
    """An error in OpenAI's format."""

    error: OpenAIErrorBody
    """What was wrong."""


class AnthropicErrorBody(StrictModel):
    """What was wrong, in Anthropic's format."""

    type: str
    """Class of the error, such as `invalid_request_error` or `rate_limit_error`."""
    message: str
    """The problem with this call, and the valid values."""
    code: str | None
    """The platform's stable error code in lower case. Null for an invalid field."""


class AnthropicError(StrictModel):
    """An error in Anthropic's format."""

    type: Literal["error"]
    """Always `error`."""
    error: AnthropicErrorBody
    """What was wrong."""
    request_id: str
    """Id of the call. Include it in support requests."""


def openai_error(error: AtriumError, request_id: str) -> VendorError:
    """Return an error in OpenAI's format. The `code` of an error that OpenAI does not know is the platform's code."""
    status, param, text = _described(error, _OPENAI_FIELDS)
    body = {
        "message": text,
        "type": _openai_type(error, status),
        "param": param,
        "code": _openai_code(error, status),
        "request_id": request_id,
    }
    return VendorError(
        status, {"error": body}, {**_retry_header(error), **_limit_headers(error, "x-ratelimit-{1}-{0}")}
    )


def anthropic_error(error: AtriumError, request_id: str) -> VendorError:
    """Return an error in Anthropic's format, with the platform's code."""
    status, _, text = _described(error, _ANTHROPIC_FIELDS)
    known = _ANTHROPIC_TYPES.get(status)
    kind = known or ("api_error" if status >= _FIRST_SERVER_ERROR else "invalid_request_error")
    code = _own_code(error) if isinstance(error, ValidationFailed) else error.code.lower()
    body = {"type": "error", "error": {"type": kind, "message": text, "code": code}, "request_id": request_id}
    limits = _limit_headers(error, "anthropic-ratelimit-{0}-{1}")
    return VendorError(status, body, {"request-id": request_id, **_retry_header(error), **limits})


def _retry_header(error: AtriumError) -> dict[str, str]:
    """Return the header that tells the SDKs whether to repeat the call. They wait for the whole `Retry-After`."""
    waits = error.retry_after_seconds or 0
    return {"x-should-retry": "true" if error.retryable and waits <= _WAIT_SECONDS_MAX else "false"}


def _limit_headers(error: AtriumError, name: str) -> dict[str, str]:
    """Return the vendor's headers of the limit that rejected a call, if the vendor knows this limit."""
    shown = VENDOR_LIMITS.get(str(error.extensions.get("limit")))
    maximum = error.extensions.get("max")
    if shown is None or not isinstance(maximum, int):
        return {}
    return {name.format(shown, "limit"): str(maximum), name.format(shown, "remaining"): "0"}


def _described(error: AtriumError, fields: Mapping[str, str]) -> tuple[int, str | None, str]:
    """Return the status, the first invalid field and the text of an error. `fields` are the vendor's names."""
    if not isinstance(error, ValidationFailed):
        return error.status, None, error.detail
    first = _first_fault(error)
    head, *rest = first.get("loc", ())[1:] or ("",)
    param = _path((fields.get(head, head), *rest)) or None
    is_unknown = param == "model" and first["type"] == "value_error"  # not an error of the schema
    return 404 if is_unknown else 400, param, f"{param}: {first['msg']}." if param else error.detail


def _first_fault(error: ValidationFailed) -> Mapping[str, Any]:
    faults = error.extensions.get("errors")
    return faults[0] if isinstance(faults, list) and faults else {}


def _path(parts: tuple[int | str, ...] | list[int | str]) -> str:
    """Return the path of a field, such as `messages[0].content`, without the tags of unions that pydantic adds."""
    named = [
        part
        for before, part, after in zip((None, *parts), parts, (*parts[1:], None), strict=False)
        if part != after and not (isinstance(before, int) and part in _TAGS and after is not None)
    ]
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in named).lstrip(".")


def _own_code(error: ValidationFailed) -> str | None:
    return CONTEXT_OVERFLOW if _first_fault(error).get("type") == CONTEXT_OVERFLOW else None


def _openai_type(error: AtriumError, status: int) -> str:
    if error.code == "QUOTA_EXCEEDED":
        return "insufficient_quota"
    if error.code == "RATE_LIMITED":
        return VENDOR_LIMITS.get(str(error.extensions.get("limit")), "requests")
    return _OPENAI_TYPES.get(status, "server_error" if status >= _FIRST_SERVER_ERROR else "invalid_request_error")


def _openai_code(error: AtriumError, status: int) -> str | None:
    if isinstance(error, ValidationFailed):
        return "model_not_found" if status == 404 else _own_code(error)
    return {
        "QUOTA_EXCEEDED": "insufficient_quota",
        "RATE_LIMITED": "rate_limit_exceeded",
        "CONCURRENCY_LIMITED": "rate_limit_exceeded",
    }.get(error.code, error.code.lower())


OPENAI_FORMAT = ErrorFormat(openai_error, OpenAIError)
ANTHROPIC_FORMAT = ErrorFormat(anthropic_error, AnthropicError)
