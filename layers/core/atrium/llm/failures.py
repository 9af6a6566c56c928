"""A provider's failure in neutral terms, and what it becomes for us. Classified by status and type, never by text.

    time ran out, or the provider says so (408, 504, timeout_error)   ModelTimeout
    anything else                                                     ModelFailed
    a request that is refused for good (400, 401, 403, 404 …)          the same, and no retry can help

The provider's words stay with the provider: they may quote a prompt. Logs get status, type and its request id.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from atrium.kernel.errors import AtriumError, ModelFailed, ModelTimeout
from atrium.llm.retries import is_retryable

_RETRYABLE_TYPES = frozenset({"api_error", "overloaded_error", "rate_limit_error", "timeout_error"})
_ERROR_FROM, _OURS_UNTIL = 400, 500


@dataclass(frozen=True, slots=True)
class ProviderFailure:
    """What went wrong. `status` is None where no answer came, or below 400 where an answer broke off.

    `advice` is the provider's own word on whether to try again, where it gives one.
    """

    type: str
    status: int | None = None
    request_id: str = ""
    retry_after_seconds: float | None = None
    advice: bool | None = None
    cause: Exception | None = field(default=None, compare=False)

    @property
    def is_retryable(self) -> bool:
        if self.advice is not None:
            return self.advice
        if self.status is None:
            return True
        return is_retryable(self.status) if self.status >= _ERROR_FROM else self.type in _RETRYABLE_TYPES

    @property
    def is_refusal(self) -> bool:
        """Whether the provider answered that the request itself will not do: not what broke off, or passes."""
        return self.status is not None and _ERROR_FROM <= self.status < _OURS_UNTIL and not self.is_retryable

    @property
    def is_timeout(self) -> bool:
        return self.status in {408, 504} or self.type == "timeout_error"

    def to_error(self) -> AtriumError:
        internal = f"provider: {self.type}, status {self.status}, request {self.request_id or 'unknown'}"
        wait = self.retry_after_seconds
        after = math.ceil(wait) if wait is not None and wait > 0 else None
        if self.is_timeout:
            return ModelTimeout(internal=internal, retry_after_seconds=after)
        return ModelFailed(internal=internal, retryable=False if self.is_refusal else None, retry_after_seconds=after)


def read_retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Return the seconds that a provider asks to wait: `retry-after-ms`, or `retry-after` in seconds or as a date."""
    try:
        if "retry-after-ms" in headers:
            return _finite(float(headers["retry-after-ms"]) / 1000)
        if "retry-after" in headers:
            return _finite(float(headers["retry-after"]))
    except ValueError:
        return _until(headers.get("retry-after", ""), now)
    return None


def read_advice(headers: Mapping[str, str]) -> bool | None:
    """Return what `x-should-retry` says, if anything."""
    return {"true": True, "false": False}.get(headers.get("x-should-retry", ""))


def _until(text: str, now: datetime) -> float | None:
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    return (moment.replace(tzinfo=moment.tzinfo or UTC) - now).total_seconds()


def _finite(seconds: float) -> float | None:
    return seconds if math.isfinite(seconds) else None
