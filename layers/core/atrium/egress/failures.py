"""The two errors of an outbound call: the call is not allowed, or the call failed.

Both errors are internal. The code that makes the call translates them, for example to a tool error, an invalid setting
or an unavailable issuer. The messages contain no addresses, so that they cannot be used to scan a network.
"""

from typing import Literal

type RefusalReason = Literal["url", "scheme", "port", "host", "address", "header", "redirect"]
type FailureReason = Literal["resolve", "connect", "tls", "timeout", "protocol", "too_large", "encoding"]


class OutboundRefused(Exception):
    """The call is not allowed. Retrying does not help. The message may be shown to the tenant."""

    def __init__(self, reason: RefusalReason, text: str) -> None:
        self.reason: RefusalReason = reason
        super().__init__(text)


class OutboundFailed(Exception):
    """The call failed. Retrying may help. The message may be shown to the tenant."""

    def __init__(self, reason: FailureReason, text: str) -> None:
        self.reason: FailureReason = reason
        super().__init__(text)
