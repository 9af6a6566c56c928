"""The expected errors of the platform, as one class tree.

Each class defines an API error code with its status, title, severity and default for `retryable`. An instance adds a
public detail and an internal detail for the logs. `atrium.http.problems` renders the errors as problem documents.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Literal

NAMES_SHOWN = 20

type Severity = Literal["low", "medium", "high", "critical"]
type Extension = str | int | float | bool | Sequence[Mapping[str, object]] | None


class AtriumError(Exception):
    """Base class of all errors that are returned to a caller.

    `detail` is public; `internal` is only logged. `retry_after_seconds` sets the `Retry-After` header. `extensions`
    contains additional members of the problem document, and `headers` contains additional headers of the response.
    """

    code: ClassVar[str] = "INTERNAL"
    status: ClassVar[int] = 500
    title: ClassVar[str] = "Internal error"
    severity: ClassVar[Severity] = "critical"
    retryable: bool = True
    advice: ClassVar[str] = ""
    """What the caller should do, in one or two sentences. It is appended to the default detail."""

    @classmethod
    def default_detail(cls) -> str:
        """Return the public detail of an error that was created without a detail."""
        return f"{cls.title}. {cls.advice}" if cls.advice else cls.title

    def __init__(
        self,
        detail: str | None = None,
        *,
        internal: str = "",
        retryable: bool | None = None,
        retry_after_seconds: int | None = None,
        extensions: Mapping[str, Extension] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.detail, self.internal = detail or _describe_first(extensions) or self.default_detail(), internal
        self.retryable = type(self).retryable if retryable is None else retryable
        self.retry_after_seconds = retry_after_seconds
        self.extensions: Mapping[str, Extension] = extensions or {}
        self.headers: Mapping[str, str] = headers or {}
        super().__init__(f"{self.code}: {internal or self.detail}")


class Malformed(AtriumError):
    code, status, title = "MALFORMED", 400, "The request is malformed"
    severity, retryable = "low", False


class InvalidCursor(AtriumError):
    code, status, title = "INVALID_CURSOR", 400, "The cursor is not valid for this list"
    severity, retryable = "low", False


class StateInvalid(AtriumError):
    code, status, title = "STATE_INVALID", 400, "The OAuth state is unknown, expired or already used"
    severity, retryable = "medium", False


class TenantRequired(AtriumError):
    code, status, title = "TENANT_REQUIRED", 400, "This call needs a tenant"
    severity, retryable = "low", False


class Unauthenticated(AtriumError):
    """The credential is missing or not valid. The gateway returns one static text for every cause (template.yaml)."""

    code, status, title = "UNAUTHENTICATED", 401, "The credential is missing or not valid"
    advice = (
        "Possible causes: none was sent, or it is malformed, unknown, revoked or expired. Send an access token or an "
        "API key as Authorization: Bearer <credential>, or an API key as x-api-key: <key>."
    )
    severity, retryable = "medium", False


class TokenExpired(Unauthenticated):
    code, title = "TOKEN_EXPIRED", "The token has expired"
    advice = "Get a new access token with the refresh token, or log in again."


class TokenInvalid(Unauthenticated):
    code, title = "TOKEN_INVALID", "The token is not valid"
    advice = "Log in again."


class OneTimeTokenInvalid(Unauthenticated):
    """An invitation or reset token is used, replaced, expired or unknown. All four cases have the same response."""

    code, title = "INVITATION_INVALID", "The invitation or reset token is invalid or expired"
    advice = "Ask an administrator of the tenant for a new token."


class Forbidden(AtriumError):
    code, status, title = "FORBIDDEN", 403, "The credential does not permit this operation"
    severity, retryable = "medium", False


class ScopeRequired(Forbidden):
    code, title = "SCOPE_REQUIRED", "The credential lacks a scope that this call needs"


class PolicyDenied(Forbidden):
    code, title = "POLICY_DENIED", "A policy denies this call"


class TenantMismatch(Forbidden):
    code, title = "TENANT_MISMATCH", "The requested tenant is not the credential's tenant"
    advice = "Omit `X-Tenant-ID` and `tenant_id`, or set them to the credential's tenant."


class TenantInactive(Forbidden):
    code, title = "TENANT_INACTIVE", "The tenant is not active"
    advice = "It is suspended or deleted. Ask the platform's operator."


class UserSuspended(Forbidden):
    code, title = "USER_SUSPENDED", "The user is suspended"
    advice = "Ask an administrator of the tenant to activate the user."


class ProviderRefused(Forbidden):
    code, title = "PROVIDER_REFUSED", "The OAuth provider refused the request"


class EmailUnverified(Forbidden):
    code, title = "EMAIL_UNVERIFIED", "The provider has not verified the email address"


class ModelNotAllowed(Forbidden):
    code, title = "MODEL_NOT_ALLOWED", "The plan does not include this model"


class ModelKeyRequired(Forbidden):
    code, title = "MODEL_KEY_REQUIRED", "The tenant has no API key for this model provider"


class CountExceeded(Forbidden):
    """The maximum number of objects, such as users or agents, is reached. Waiting does not help."""

    code, title = "QUOTA_EXCEEDED", "A quota is exhausted"


class NotFound(AtriumError):
    code, status, title = "NOT_FOUND", 404, "The resource was not found"
    severity, retryable = "low", False


class MethodNotAllowed(AtriumError):
    code, status, title = "METHOD_NOT_ALLOWED", 405, "The method is not allowed on this path"
    severity, retryable = "low", False


class Conflict(AtriumError):
    code, status, title = "CONFLICT", 409, "The request conflicts with the current state"
    severity, retryable = "low", False


class ConnectionExpired(Conflict):
    code, title = "CONNECTION_EXPIRED", "The provider no longer refreshes this connection; connect again"


class SessionBusy(Conflict):
    code, title, retryable = "SESSION_BUSY", "A turn is already running in this session", True


class IdempotencyInProgress(Conflict):
    code, title, retryable = (
        "IDEMPOTENCY_IN_PROGRESS",
        "The first request with this idempotency key is still running",
        True,
    )


class PayloadTooLarge(AtriumError):
    code, status, title = "PAYLOAD_TOO_LARGE", 413, "The body is larger than 1 MiB"
    severity, retryable = "low", False


class UnsupportedMediaType(AtriumError):
    code, status, title = "UNSUPPORTED_MEDIA_TYPE", 415, "The body must be application/json"
    severity, retryable = "low", False


class ValidationFailed(AtriumError):
    code, status, title = "VALIDATION_FAILED", 422, "The payload does not match the schema"
    severity, retryable = "low", False


class MessageRefused(AtriumError):
    code, status, title = "MESSAGE_REFUSED", 422, "The message looks like a prompt injection"
    severity, retryable = "medium", False


class PromptUnusable(AtriumError):
    code, status, title = "PROMPT_UNUSABLE", 422, "The agent's prompt cannot be rendered"
    severity, retryable = "medium", False


class IdempotencyKeyReused(AtriumError):
    code, status, title = "IDEMPOTENCY_KEY_REUSED", 422, "This idempotency key was used with another request body"
    severity, retryable = "low", False


class ProviderUnsupported(AtriumError):
    code, status, title = "PROVIDER_UNSUPPORTED", 422, "This model provider is not available on this platform"
    severity, retryable = "low", False


class LimitReached(AtriumError):
    """A limit rejected the call. The extensions are `limit`, `used`, `max` and `resets_at`."""

    code, status, title = "QUOTA_EXCEEDED", 429, "A quota is exhausted"
    severity, retryable = "low", True


class RateLimited(LimitReached):
    code, title = "RATE_LIMITED", "Too many requests in this minute"


class ConcurrencyLimited(LimitReached):
    code, title = "CONCURRENCY_LIMITED", "All concurrency slots are in use"


class ModelFailed(AtriumError):
    """A model call failed.

    If `is_outage` is true, the provider itself failed, and the model's circuit breaker counts the failure.
    `provider_status` is the HTTP status of the provider's response, if there was one.
    """

    code, status, title = "MODEL_FAILED", 502, "The model provider failed"
    severity = "high"
    is_outage: bool = False
    provider_status: int | None = None


class ModelKeyRejected(ModelFailed):
    """The provider rejected the tenant's own API key."""

    code, title = "MODEL_KEY_REJECTED", "The model provider rejected the tenant's API key"
    advice = "An administrator of the tenant must replace it (`PUT /v1/model-keys/{provider}`) or delete it."
    retryable = False


class ProviderFailed(AtriumError):
    code, status, title = "PROVIDER_FAILED", 502, "The OAuth provider failed"
    severity = "medium"


class RunInterrupted(AtriumError):
    """The function that executed a run ended unexpectedly. The output up to that time is saved in the session."""

    code, title = "RUN_INTERRUPTED", "The run was interrupted; its output so far is saved"
    severity = "high"


class ApprovalExpired(AtriumError):
    """No decision about a tool call was made in time."""

    code, status, title = "APPROVAL_EXPIRED", 409, "The approval of a tool call was not given in time"


class Unavailable(AtriumError):
    code, status, title = "UNAVAILABLE", 503, "A part of the platform is temporarily unavailable"
    severity = "high"


class ModelKeyUnchecked(Unavailable):
    code, title = "MODEL_KEY_UNCHECKED", "The model provider could not check the API key; nothing was stored"


class CircuitOpen(Unavailable):
    code, title = "CIRCUIT_OPEN", "The model provider is temporarily unavailable (circuit open)"


class ModelTimeout(AtriumError):
    """A model call exceeded its time limit. `is_outage` has the same meaning as in `ModelFailed`."""

    code, status, title = "MODEL_TIMEOUT", 504, "The model provider did not answer in time"
    severity = "high"
    is_outage: bool = False


class ConditionFailed(Exception):
    """The condition of a conditional write was false. `item` is the existing item. Never sent to a caller."""

    def __init__(self, item: Mapping[str, object] | None = None) -> None:
        self.item = item
        super().__init__("the condition of the write was false")


def catalogue() -> list[type[AtriumError]]:
    """Return all classes of the error tree, sorted by status and code."""
    found: list[type[AtriumError]] = [AtriumError]
    for kind in found:  # the list grows during the loop
        found.extend(kind.__subclasses__())
    return sorted(found, key=lambda kind: (kind.status, kind.code))


def _describe_first(extensions: Mapping[str, Any] | None) -> str:
    """Return the first entry of `errors` as text with field and message, or "" if there are no entries."""
    errors: Sequence[Mapping[str, Any]] = (extensions or {}).get("errors") or ()
    if not errors:
        return ""
    place, *parts = errors[0]["loc"]
    name = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts).removeprefix(".")
    prefix = "" if place == "body" else f"{place} parameter " if place == "query" else f"{place} "
    where = f"{prefix}`{name}`" if name else f"the {place}"
    more = f" (and {len(errors) - 1} more in `errors`)" if len(errors) > 1 else ""
    return f"{where}: {errors[0]['msg']}{more}"


PATTERN_TEXTS: dict[str, str] = {}
"""The error message of each named pattern."""


def named_pattern(pattern: str, text: str) -> str:
    """Register `text` as the error message for values that do not match `pattern`, and return `pattern`."""
    PATTERN_TEXTS[pattern] = text
    return pattern


def invalid_field(name: str, message: str, *, place: Literal["body", "query"] = "body") -> ValidationFailed:
    """Return the error for one invalid field of a body or query, in the same format as a schema error."""
    return ValidationFailed(extensions={"errors": [{"loc": [place, name], "msg": message, "type": "value_error"}]})


def list_valid(names: Iterable[str]) -> str:
    """Return valid names as text for an error message, such as "`a`, `b`, … (12 more)".

    At most `NAMES_SHOWN` names are listed.
    """
    known = list(names)
    shown = ", ".join(f"`{name}`" for name in known[:NAMES_SHOWN])
    more = len(known) - NAMES_SHOWN
    return f"{shown}, … ({more} more)" if more > 0 else shown


def kind_of(code: str) -> type[AtriumError]:
    """Return the error class with this code; return `AtriumError` for an unknown code."""
    return next((kind for kind in catalogue() if kind.code == code), AtriumError)
