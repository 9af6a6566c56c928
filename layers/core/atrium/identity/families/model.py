"""The model of a token family: all refresh tokens that descend from one login. Only the last token is valid."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from atrium.identity.users.model import User
from atrium.kernel.ids import FamilyId, TenantId, UserId
from atrium.tenants.model import Tenant

REFRESH_SECONDS = 604_800
LOGIN_SECONDS_MAX = 90 * 86_400


@dataclass(frozen=True, slots=True)
class TokenFamily:
    """A stored token family. `digest` is the digest of the last token, and `before` is the digest of its predecessor.

    The last token is derived from its predecessor and `salt`, so that a repeated use of the predecessor returns the
    same token. `token_version` and `tenant_token_version` are the versions of the user and the tenant at the login. If
    `scopes` is None, the login has all scopes of the user's role. `client_id` is empty for a login without a client.
    """

    id: FamilyId
    tenant_id: TenantId
    user_id: UserId
    digest: bytes = field(repr=False)
    pepper_version: int
    token_version: int
    tenant_token_version: int
    created_at: datetime
    expires_at: datetime
    sequence: int = 1
    before: bytes = field(default=b"", repr=False)
    salt: bytes = field(default=b"", repr=False)
    rotated_at: datetime | None = None
    revoked_at: datetime | None = None
    scopes: tuple[str, ...] | None = None
    client_id: str = ""
    ip: str = ""
    user_agent: str = ""

    def allows(self, scopes: frozenset[str]) -> bool:
        """Return whether an access token of this login may have these scopes.

        If `self.scopes` is None, a login without a client may have any scope, and a login with a client may have none.
        """
        return scopes <= set(self.scopes) if self.scopes is not None else not self.client_id

    def next_end(self, now: datetime) -> datetime:
        """Return the time when a token issued now expires: in seven days, but at most 90 days after the login."""
        return end_of_token(self.created_at, now)


@dataclass(frozen=True, slots=True)
class IssuedTokens:
    """The tokens of a login or a refresh. They are not stored. `scopes` are the scopes of the access token."""

    access_token: str = field(repr=False)
    expires_in: int
    refresh_token: str = field(repr=False)
    user: User
    tenant: Tenant
    family: TokenFamily
    scopes: tuple[str, ...] | None = None


def end_of_token(created_at: datetime, now: datetime) -> datetime:
    return min(now + timedelta(seconds=REFRESH_SECONDS), created_at + timedelta(seconds=LOGIN_SECONDS_MAX))
