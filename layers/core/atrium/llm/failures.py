"""A provider's failure in neutral terms, and what it becomes for us. Classified by status and type, never by text.

    time ran out, or the provider says so (408, 504, timeout_error)   ModelTimeout
    anything else                                                     ModelFailed
    a request that is refused for good (400, 401, 403, 404 …)          the same, and no retry can help

The provider's words stay with the provider: they may quote a prompt. Logs get status, type, its request id and, where
an answer broke our rules, which one.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from atrium.kernel.errors import AtriumError, ModelFailed, ModelTimeout
from atrium.llm.retries import is_retryable

RETRY_AFTER_SECONDS_MAX = 3_600
"""The longest wait that is passed on to a caller."""
_RETRYABLE_TYPES = frozenset({"api_error", "overloaded_error", "rate_limit_error", "timeout_error"})
_ERROR_FROM, _OURS_UNTIL = 400, 500
_WORD = re.compile(r"[A-Za-z0-9_.:-]{1,128}")


@dataclass(frozen=True, slots=True)
class ProviderFailure:
    """What went wrong. `status` is None where no answer came, or below 400 where an answer broke off.

    `advice` is the provider's own word on whether to try again, where it gives one. `reason` is in our words.
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
        """Whether the provider answered that the request itself will not do: not what broke off, or passes."""
        return self.status is not None and _ERROR_FROM <= self.status < _OURS_UNTIL and not self.is_retryable

    @property
    def is_timeout(self) -> bool:
        return self.status in {408, 504} or self.type == "timeout_error"

    def to_error(self) -> AtriumError:
        """Return the failure to raise. It says when to try again where the provider said so, an hour at most."""
        internal = f"provider: {self.type}, status {self.status}, request {self.request_id or 'unknown'}"
        if self.reason:
            internal += f": {self.reason}"
        kind = ModelTimeout if self.is_timeout else ModelFailed
        wait, detail = self.retry_after_seconds, None
        after = min(math.ceil(wait), RETRY_AFTER_SECONDS_MAX) if wait is not None and wait > 0 else None
        if after is not None:
            detail = f"{kind.title}. Try again in {after} seconds."
        retryable = False if self.is_refusal else None
        return kind(detail, internal=internal, retryable=retryable, retry_after_seconds=after)


def read_retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Return the seconds that a provider asks to wait: `retry-after-ms`, or `retry-after` in seconds or as a date."""
    milliseconds = _seconds(headers.get("retry-after-ms", ""))
    if milliseconds is not None:
        return milliseconds / 1000
    text = headers.get("retry-after", "")
    seconds = _seconds(text)
    return _until(text, now) if seconds is None else seconds


def read_word(sent: object) -> str:
    """Return an error type or an id that a provider sent; "" where it is none that a log could take."""
    return sent if isinstance(sent, str) and _WORD.fullmatch(sent) else ""


def read_advice(headers: Mapping[str, str]) -> bool | None:
    """Return what `x-should-retry` says, if anything."""
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
