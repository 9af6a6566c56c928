"""The parts of Anthropic's API that requests and responses share: errors, token counts, thinking signatures, models.

A token is four bytes of UTF-8, and the number of tokens is rounded up. The tokens of a prompt are counted in the
compact JSON of `system`, `tools` and `messages`, with content in block form. The data of an image counts as
IMAGE_TOKENS tokens. The tokens of a response are counted in its text, its thinking, and the names and arguments of its
tool calls.
"""

import base64
import hashlib
import re
from dataclasses import dataclass

from pydantic import JsonValue, ValidationError

type JsonObject = dict[str, JsonValue]

BYTES_PER_TOKEN = 4
IMAGE_TOKENS = 1_600
# This server uses the same context window and output size for all models.
INPUT_TOKENS_MAX = 1_000_000
OUTPUT_TOKENS_MAX = 128_000

ERROR_TYPES = {
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
ERROR_MESSAGES = {
    400: "The request was refused, as scripted.",
    401: "invalid x-api-key",
    402: "Your credit balance is too low to access the API.",
    403: "Your API key does not have permission to use the specified resource.",
    429: "This request would exceed the rate limit of your organization. Please try again later.",
    500: "Internal server error",
    504: "The request timed out.",
    529: "Overloaded",
}
# The type and code of an error in the Chat Completions API.
CHAT_ERRORS: dict[int, tuple[str, str | None]] = {
    400: ("invalid_request_error", None),
    401: ("invalid_request_error", "invalid_api_key"),
    402: ("insufficient_quota", "insufficient_quota"),
    403: ("invalid_request_error", "unsupported_country_region_territory"),
    429: ("requests", "rate_limit_exceeded"),
    500: ("server_error", "server_error"),
    529: ("server_error", "server_is_overloaded"),
}
MODELS = (  # the model ids that the installed SDK defines
    "claude-fable-5-2",
    "claude-mythos-5-2",
    "claude-haiku-5-5",
    "claude-sonnet-5-5",
    "claude-fable-5-1",
    "claude-opus-5-5",
    "claude-mythos-5-1",
    "claude-sonnet-5",
    "claude-fable-5",
    "claude-mythos-5",
    "claude-opus-5",
    "claude-opus-4-8",
    "claude-opus-4-7",
    "claude-mythos-preview",
    "claude-opus-4-6",
    "claude-sonnet-4-6",
    "claude-haiku-4-5",
    "claude-haiku-4-5-20251001",
    "claude-opus-4-5",
    "claude-opus-4-5-20251101",
    "claude-sonnet-4-5",
    "claude-sonnet-4-5-20250929",
)


class ApiError(Exception):
    """An error response with status 400–599. If the status has no error type, the type of 400 or 500 is used.

    `code` is the code in the Chat Completions API, if it differs from that of the status.
    """

    def __init__(
        self, status: int, message: str | None = None, *, retry_after: float | None = None, code: str | None = None
    ) -> None:
        self.status = status
        self.code = code
        self.type = ERROR_TYPES.get(status) or ERROR_TYPES[400 if status < 500 else 500]
        self.message = message or ERROR_MESSAGES.get(status) or f"The request failed with status {status}."
        self.headers = {} if retry_after is None else {"retry-after": f"{retry_after:g}"}
        super().__init__(self.message)

    def body(self, request_id: str) -> JsonObject:
        """Return the error object, which is the same in a JSON response and in an `error` event of a stream."""
        return {"type": "error", "error": {"type": self.type, "message": self.message}, "request_id": request_id}

    def chat_body(self) -> JsonObject:
        """Return the error object of the Chat Completions API."""
        kind, code = CHAT_ERRORS.get(self.status) or CHAT_ERRORS[400 if self.status < 500 else 500]
        return {"error": {"message": self.message, "type": kind, "param": None, "code": self.code or code}}


@dataclass(frozen=True)
class Usage:
    """The tokens of one request and its response.

    `output_tokens` is at least 1 even for an empty response, unless `max_tokens` is 0.
    """

    input_tokens: int = 0
    cache_creation_input_tokens: int = 0
    cache_read_input_tokens: int = 0
    output_tokens: int = 0
    thinking_tokens: int = 0


def invalid(error: ValidationError, prefix: str = "") -> ApiError:
    """Return a 400 error for the first invalid field, in the form `path.to.field: message`."""
    first = error.errors(include_url=False, include_input=False)[0]
    path = ".".join(str(step) for step in first["loc"])
    return ApiError(400, f"{prefix}{path}: {first['msg']}")


def count_tokens(text: str) -> int:
    """Return the number of tokens in a text."""
    return -(-len(text.encode()) // BYTES_PER_TOKEN)


def cut_to_tokens(text: str, tokens: int) -> str:
    """Return the longest prefix of `text` that has at most `tokens` tokens and does not split a character."""
    return text.encode()[: tokens * BYTES_PER_TOKEN].decode(errors="ignore")


def pad_to_tokens(text: str, tokens: int) -> str:
    """Truncate or pad `text` to exactly `tokens` tokens."""
    missing = tokens * BYTES_PER_TOKEN - len(text.encode())
    words = " word" * (missing // 5 + 1) if missing > 0 else ""
    return cut_to_tokens(text + words, tokens)


def sign(thinking: str) -> str:
    """Return the signature of a thinking block. Equal texts have equal signatures."""
    return base64.b64encode(hashlib.sha256(b"model-server/thinking/" + thinking.encode()).digest()).decode()


def require_model(model_id: str) -> None:
    """Raise a 404 `not_found_error` if the model is unknown."""
    if model_id not in MODELS:
        raise ApiError(404, f"model: {model_id}")


def describe_model(model_id: str) -> JsonObject:
    """Return the `ModelInfo` object of a model. The release date is always 1970-01-01.

    Raises a 404 error if the model is unknown.
    """
    require_model(model_id)
    line, *version = re.sub(r"-\d{8}$", "", model_id).removeprefix("claude-").split("-")
    return {
        "type": "model",
        "id": model_id,
        "display_name": f"Claude {line.title()} {'.'.join(version).title()}",
        "created_at": "1970-01-01T00:00:00Z",
        "lifecycle": "active",
        "line": line,
        "max_input_tokens": INPUT_TOKENS_MAX,
        "max_tokens": OUTPUT_TOKENS_MAX,
        "capabilities": None,
        "deprecated_at": None,
        "retires_at": None,
    }


def list_chat_models() -> JsonObject:
    """Return the list of models of OpenAI's API. It is empty: the platform uses this list only to check an API key."""
    return {"object": "list", "data": []}


def list_models(*, limit: int = 20, after_id: str | None = None, before_id: str | None = None) -> JsonObject:
    """Return one page of `GET /v1/models`. Raises a 400 error for a limit outside 1–1000 or an unknown cursor."""
    if not 1 <= limit <= 1000:
        raise ApiError(400, "limit: Input should be between 1 and 1000")
    for cursor in (after_id, before_id):
        if cursor is not None and cursor not in MODELS:
            raise ApiError(400, f"cursor: no model {cursor}")
    if before_id is not None:
        rest = MODELS[: MODELS.index(before_id)]
        shown = rest[-limit:]
    else:
        rest = MODELS[MODELS.index(after_id) + 1 :] if after_id is not None else MODELS
        shown = rest[:limit]
    return {
        "data": [describe_model(model_id) for model_id in shown],
        "has_more": len(rest) > len(shown),
        "first_id": shown[0] if shown else None,
        "last_id": shown[-1] if shown else None,
    }
