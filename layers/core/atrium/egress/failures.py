"""The two failures of an outbound call: refused before it was made, or failed afterwards.

Both are internal; the caller translates them (a tool error, an invalid setting, an unavailable issuer). The texts
contain no addresses, so that they cannot be used to map a network.
"""

from typing import Literal

type RefusalReason = Literal["url", "scheme", "port", "address", "header", "redirect"]
type FailureReason = Literal["resolve", "connect", "tls", "timeout", "protocol", "too_large", "encoding"]


class OutboundRefused(Exception):
    """The call must not be made; retrying does not help. The text may be shown to the tenant."""

    def __init__(self, reason: RefusalReason, text: str) -> None:
        self.reason: RefusalReason = reason
        super().__init__(text)


class OutboundFailed(Exception):
    """The call was made and failed; retrying may help. The text may be shown to the tenant."""

    def __init__(self, reason: FailureReason, text: str) -> None:
        self.reason: FailureReason = reason
        super().__init__(text)
