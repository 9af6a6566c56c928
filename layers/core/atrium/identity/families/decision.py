"""What to do with a refresh token that we gave out, from what the table holds. No I/O."""

from datetime import datetime, timedelta
from typing import Literal, Protocol

from atrium.identity.families.model import TokenFamily
from atrium.identity.families.refresh_text import RefreshText
from atrium.identity.users.model import User
from atrium.identity.verification import Refused
from atrium.kernel.crypto import same
from atrium.kernel.errors import TenantInactive, TokenExpired, TokenInvalid, UserSuspended
from atrium.tenants.model import Tenant

type Use = Literal["current", "repeated", "reused"]


def judge_use(
    said: RefreshText, family: TokenFamily | None, *, client_id: str, grace_seconds: int, now: datetime
) -> Use | Refused:
    """Tell which token of its family it is: the last; the last one's parent, shown again soon; or an older one.

    A token of another client, or of a family that has ended, is refused and changes nothing.
    """
    if family is None:
        return Refused(TokenExpired, "its family is gone")
    ended = _find_end(family, client_id, now)
    if ended is not None:
        return ended
    if said.sequence == family.sequence and same(said.digest, family.digest):
        return "current"
    if said.sequence >= family.sequence:
        return Refused(TokenInvalid, "its family never came to it")
    soon = family.rotated_at is not None and now - family.rotated_at < timedelta(seconds=grace_seconds)
    if soon and said.sequence == family.sequence - 1 and same(said.digest, family.before):
        return "repeated"
    return "reused"


def _find_end(family: TokenFamily, client_id: str, now: datetime) -> Refused | None:
    if family.client_id != client_id:
        return Refused(TokenInvalid, "it was given to another client")
    if family.revoked_at is not None:
        return Refused(TokenInvalid, "its family was revoked")
    if now >= family.expires_at:
        return Refused(TokenExpired, "its family has expired")
    return None


class Held(Protocol):
    """What a user was given: a login, or a code for one."""

    @property
    def token_version(self) -> int: ...
    @property
    def tenant_token_version(self) -> int: ...


def check_holder(held: Held, user: User | None, tenant: Tenant | None) -> Refused | None:
    """Return why the one who logged in may not go on, or None."""
    if user is None or tenant is None:
        return Refused(TokenInvalid, "its user or tenant is gone")
    if (held.token_version, held.tenant_token_version) != (user.token_version, tenant.token_version):
        return Refused(TokenInvalid, "it was ended by a logout")
    if not tenant.is_active:
        return Refused(TenantInactive, f"tenant is {tenant.status}")
    if user.status != "active":
        return Refused(UserSuspended, f"user is {user.status}")
    return None
