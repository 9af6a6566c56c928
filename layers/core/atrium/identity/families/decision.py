"""Decides how to handle a valid refresh token, based on the stored family. No I/O."""

from datetime import datetime, timedelta
from typing import Literal, Protocol

from atrium.identity.families.model import TokenFamily
from atrium.identity.families.refresh_text import EncodedRefreshToken
from atrium.identity.users.model import User
from atrium.identity.verification import Refused
from atrium.kernel.crypto import same
from atrium.kernel.errors import TenantInactive, TokenExpired, TokenInvalid, UserSuspended
from atrium.tenants.model import Tenant

type Use = Literal["current", "repeated", "reused"]


def classify_use(
    token: EncodedRefreshToken, family: TokenFamily | None, *, client_id: str, grace_seconds: int, now: datetime
) -> Use | Refused:
    """Return whether a token is the current token, a repeated predecessor within the grace period, or a reused token.

    The result is a refusal if the token was issued to another client, or if the family has ended or does not exist.
    """
    if family is None:
        return Refused(TokenExpired, "the token family does not exist")
    ended = _find_end(family, client_id, now)
    if ended is not None:
        return ended
    if token.sequence == family.sequence and same(token.digest, family.digest):
        return "current"
    if token.sequence >= family.sequence:
        return Refused(TokenInvalid, "the token sequence is newer than the family's")
    soon = family.rotated_at is not None and now - family.rotated_at < timedelta(seconds=grace_seconds)
    if soon and token.sequence == family.sequence - 1 and same(token.digest, family.before):
        return "repeated"
    return "reused"


def _find_end(family: TokenFamily, client_id: str, now: datetime) -> Refused | None:
    if family.client_id != client_id:
        return Refused(TokenInvalid, "the token was issued to another client")
    if family.revoked_at is not None:
        return Refused(TokenInvalid, "the token family was revoked")
    if now >= family.expires_at:
        return Refused(TokenExpired, "the token family has expired")
    return None


class TokenVersions(Protocol):
    """The token versions of the user and the tenant when a login or an authorization code was created."""

    @property
    def token_version(self) -> int: ...
    @property
    def tenant_token_version(self) -> int: ...


def check_holder(versions: TokenVersions, user: User | None, tenant: Tenant | None) -> Refused | None:
    """Return a refusal if the user may no longer use a login or an authorization code, otherwise None."""
    if user is None or tenant is None:
        return Refused(TokenInvalid, "the token's user or tenant does not exist")
    if (versions.token_version, versions.tenant_token_version) != (user.token_version, tenant.token_version):
        return Refused(TokenInvalid, "the token was ended by a logout")
    if not tenant.is_active:
        return Refused(TenantInactive, f"tenant is {tenant.status}")
    if user.status != "active":
        return Refused(UserSuspended, f"user is {user.status}")
    return None
