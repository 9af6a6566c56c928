"""Failures as Anthropic's API words them: a status, an error type, a message, and sometimes Retry-After."""

from pydantic import JsonValue, ValidationError

TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    504: "timeout_error",
    529: "overloaded_error",
}

MESSAGES = {
    400: "The request was refused, as scripted.",
    401: "invalid x-api-key",
    402: "Your credit balance is too low to access the API.",
    403: "Your API key does not have permission to use the specified resource.",
    429: "This request would exceed the rate limit of your organization. Please try again later.",
    500: "Internal server error",
    504: "The request timed out.",
    529: "Overloaded",
}


class ApiError(Exception):
    """An answer of status 400–599; statuses without a type of their own take that of 400 or 500."""

    def __init__(self, status: int, message: str | None = None, *, retry_after: float | None = None) -> None:
        self.status = status
        self.kind = TYPES.get(status) or TYPES[400 if status < 500 else 500]
        self.message = message or MESSAGES.get(status) or f"The request failed with status {status}."
        self.headers = {} if retry_after is None else {"retry-after": f"{retry_after:g}"}
        super().__init__(self.message)

    def body(self, request_id: str) -> dict[str, JsonValue]:
        """The error object, the same in a JSON answer and in an `error` event of a stream."""
        return {
            "type": "error",
            "error": {"type": self.kind, "message": self.message},
            "request_id": request_id,
        }


def invalid(error: ValidationError, prefix: str = "") -> ApiError:
    """The 400 that names the first field that does not fit, as `path.to.field: message`."""
    first = error.errors(include_url=False, include_input=False)[0]
    path = ".".join(str(step) for step in first["loc"])
    return ApiError(400, f"{prefix}{path}: {first['msg']}")
