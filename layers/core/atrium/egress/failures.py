"""Two ways in which a call ends badly, by what the caller should do: accept it, or perhaps try again.

Neither is a failure of the contract by itself: whoever calls says what it means (a tool's refusal, an unusable
setting, an issuer that cannot be asked). The texts name no address, so that nobody maps a network with them.
"""

from typing import Literal

type RefusalReason = Literal["url", "scheme", "port", "address", "header", "redirect"]
type FailureReason = Literal["resolve", "connect", "tls", "timeout", "protocol", "too_large", "encoding"]


class OutboundRefused(Exception):
    """The call must not be made, now or later; the text may be shown to the tenant."""

    def __init__(self, reason: RefusalReason, text: str) -> None:
        self.reason: RefusalReason = reason
        super().__init__(text)


class OutboundFailed(Exception):
    """The call was made and brought nothing of use; the text may be shown to the tenant."""

    def __init__(self, reason: FailureReason, text: str) -> None:
        self.reason: FailureReason = reason
        super().__init__(text)
