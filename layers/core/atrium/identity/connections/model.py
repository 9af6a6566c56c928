"""A connection: a principal's account at a provider, one for each provider. Tokens are sealed in the tenant's vault."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from atrium.identity.social.descriptions import ProviderName

type ConnectionStatus = Literal["active", "expired"]

EARLY = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Connection:
    """A connection. `expired`: the provider refused to go on, and the user has to connect again.

    `version` counts the tokens that it had; `lease` names who refreshes them now, until `leased_until`.
    """

    owner: str
    provider: ProviderName
    scopes: tuple[str, ...]
    status: ConnectionStatus
    created_at: datetime
    updated_at: datetime
    sealed_access: bytes = field(repr=False)
    sealed_refresh: bytes = field(default=b"", repr=False)
    expires_at: datetime | None = None
    version: int = 1
    lease: str = ""
    leased_until: datetime | None = None

    def is_due(self, now: datetime) -> bool:
        """Tell whether the access token has ended, or ends within a minute."""
        return self.expires_at is not None and now >= self.expires_at - EARLY

    def purpose(self, what: Literal["access", "refresh"]) -> str:
        """Return what a token is sealed for: one of another connection does not open as this one's."""
        return connection_purpose(self.owner, self.provider, what)


def connection_purpose(owner: str, provider: str, what: Literal["access", "refresh"]) -> str:
    return f"connection:{owner}:{provider}:{what}"
