"""A login's family: all the refresh tokens that descend from one login, of which the last alone is good (I4)."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from atrium.identity.users.model import User
from atrium.kernel.ids import FamilyId, TenantId, UserId
from atrium.tenants.model import Tenant

REFRESH_SECONDS = 604_800
LOGIN_SECONDS_MAX = 90 * 86_400


@dataclass(frozen=True, slots=True)
class TokenFamily:
    """A family as it is kept: no token of it. `digest` is the last token's, `before` its parent's.

    `salt` is what the last token was derived with, so that its parent, shown again, makes the same. `scopes` None: all
    that the user's role has. The versions are those of user and tenant when the login was made. `client_id` is empty
    for our own login.
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
        """Tell whether a token of the login may have these scopes: those that were granted.

        Our own login, which has no scopes of its own, may have all of the role.
        """
        return scopes <= set(self.scopes) if self.scopes is not None else not self.client_id

    def next_end(self, now: datetime) -> datetime:
        """Return until when a token given out now holds: seven days, and ninety after the login at most."""
        return end_of_token(self.created_at, now)


@dataclass(frozen=True, slots=True)
class IssuedTokens:
    """What a login or a refresh gives. The texts exist nowhere else; `scopes` are the access token's."""

    access_token: str = field(repr=False)
    expires_in: int
    refresh_token: str = field(repr=False)
    user: User
    tenant: Tenant
    family: TokenFamily
    scopes: tuple[str, ...] | None = None


def end_of_token(created_at: datetime, now: datetime) -> datetime:
    return min(now + timedelta(seconds=REFRESH_SECONDS), created_at + timedelta(seconds=LOGIN_SECONDS_MAX))
