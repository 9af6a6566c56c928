"""OAuth errors (RFC 6749 §5.2 and §4.1.2.1). Their codes are defined in RFCs, not in the platform's catalogue."""

from typing import Literal

type OAuthError = Literal[
    "invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type",
    "invalid_scope", "invalid_target", "access_denied", "unsupported_response_type", "login_required",
    "request_not_supported", "request_uri_not_supported", "unsupported_token_type",
]  # fmt: skip


class OAuthRefused(Exception):
    """Raised if an OAuth request is refused. `description` is for the client's developer; `internal` is only logged."""

    def __init__(self, error: OAuthError, description: str, *, internal: str = "") -> None:
        self.error: OAuthError = error
        self.description = description
        self.internal = internal
        super().__init__(f"{error}: {internal or description}")
