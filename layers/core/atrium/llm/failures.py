"""Describes failed model calls independently of the provider, and converts them to errors.

Failures are classified by status and type, not by text.

    a timeout of the call (408, 504, timeout_error)   ModelTimeout
    any other failure                                 ModelFailed
    a permanent rejection (400, 401, 403, 404 …)      ModelFailed, not retryable

The provider's message is never logged or forwarded, because it may quote a prompt. Logs contain the status, the type,
the provider's request id and, for an invalid answer, the rule that it violates.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from atrium.kernel.errors import ModelFailed, ModelTimeout
from atrium.llm.retries import is_retryable

RETRY_AFTER_SECONDS_MAX = 3_600
"""The longest `Retry-After` time in seconds that is returned to a caller."""
_RETRYABLE_TYPES = frozenset({"api_error", "overloaded_error", "rate_limit_error", "timeout_error"})
OUTAGE_SILENCE_SECONDS = 60
"""A call that reaches its deadline without any event is an outage if its deadline was at least this long."""
_OUTAGE_TYPES = frozenset({"api_error", "overloaded_error", "timeout_error", "connection_error"})
_ERROR_FROM, _OURS_UNTIL = 400, 500
_WORD = re.compile(r"[A-Za-z0-9_.:-]{1,128}")


@dataclass(frozen=True, slots=True)
class ProviderFailure:
    """One failed call. `status` is None if there was no response, and below 400 if a response ended early.

    `advice` states whether the provider recommends a retry; None if it sends no advice. `reason` contains no text from
    the provider.
    """

    type: str
    status: int | None = None
    request_id: str = ""
    retry_after_seconds: float | None = None
    advice: bool | None = None
    reason: str = ""
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
        """Whether the provider rejected the request permanently (4xx and not retryable)."""
        return self.status is not None and _ERROR_FROM <= self.status < _OURS_UNTIL and not self.is_retryable

    @property
    def is_timeout(self) -> bool:
        return self.status in {408, 504} or self.type == "timeout_error"

    @property
    def is_outage(self) -> bool:
        """Whether the provider itself failed: no connection, a 5xx status, or a corresponding error event in a
        stream.
        """
        if self.status is not None and self.status >= _ERROR_FROM:
            return self.status >= _OURS_UNTIL
        return self.type in _OUTAGE_TYPES

    def to_error(self) -> ModelFailed | ModelTimeout:
        """Return the error to raise. If the provider sent a retry time, the error contains that time, limited to one
        hour.
        """
        internal = f"provider: {self.type}, status {self.status}, request {self.request_id or 'unknown'}"
        if self.reason:
            internal += f": {self.reason}"
        kind = ModelTimeout if self.is_timeout else ModelFailed
        wait, detail = self.retry_after_seconds, None
        after = min(math.ceil(wait), RETRY_AFTER_SECONDS_MAX) if wait is not None and wait > 0 else None
        if after is not None:
            detail = f"{kind.title}. Try again in {after} seconds."
        retryable = False if self.is_refusal else None
        error = kind(detail, internal=internal, retryable=retryable, retry_after_seconds=after)
        error.is_outage = self.is_outage
        if isinstance(error, ModelFailed):
            error.provider_status = self.status
        return error


def read_retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Return the wait time in seconds from the header `retry-after-ms` or `retry-after` (seconds or date), or None."""
    milliseconds = _seconds(headers.get("retry-after-ms", ""))
    if milliseconds is not None:
        return milliseconds / 1000
    text = headers.get("retry-after", "")
    seconds = _seconds(text)
    return _until(text, now) if seconds is None else seconds


def read_word(sent: object) -> str:
    """Return an error type or id that a provider sent. Return "" if it is not a short identifier that may be logged."""
    return sent if isinstance(sent, str) and _WORD.fullmatch(sent) else ""


def read_advice(headers: Mapping[str, str]) -> bool | None:
    """Return the value of `x-should-retry`, or None if it is absent or invalid."""
    return {"true": True, "false": False}.get(headers.get("x-should-retry", ""))


def _until(text: str, now: datetime) -> float | None:
    try:
        moment = parsedate_to_datetime(text)
        return (moment.replace(tzinfo=moment.tzinfo or UTC) - now).total_seconds()
    except (ValueError, OverflowError):
        return None


def _seconds(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
