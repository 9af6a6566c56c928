"""The model of a connection: a principal's account at an OAuth provider.

A principal has at most one connection per provider. The tokens of a connection are encrypted with the tenant's key.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from atrium.identity.social.descriptions import ProviderName

type ConnectionStatus = Literal["active", "expired"]

EARLY = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Connection:
    """A connection of a principal to an OAuth provider.

    The status `expired` means that the provider refused a refresh and the user must connect again. `version` is
    incremented with each new pair of tokens. `lease` is the id of the call that is refreshing the tokens; the lease
    expires at `leased_until`.
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
        """Return whether the access token has expired or expires within a minute."""
        return self.expires_at is not None and now >= self.expires_at - EARLY

    def purpose(self, what: Literal["access", "refresh"]) -> str:
        """Return the encryption context of a token. Each connection has a different context."""
        return connection_purpose(self.owner, self.provider, what)


def connection_purpose(owner: str, provider: str, what: Literal["access", "refresh"]) -> str:
    return f"connection:{owner}:{provider}:{what}"
