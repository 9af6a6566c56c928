"""The decision that lets a credential in: what it says, against what the table says now. No I/O but the pepper's.

What a caller may learn is only the code. A credential that does not prove itself is `UNAUTHENTICATED` whatever its
tenant's state is; only a proven one hears that its tenant or its user is suspended.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from atrium.identity.key_format import KeyText
from atrium.identity.keys.model import ApiKey
from atrium.identity.principals import principal_of_key, principal_of_user
from atrium.identity.scopes import PLATFORM
from atrium.identity.users.model import User
from atrium.kernel.crypto import same
from atrium.kernel.errors import AtriumError, TenantInactive, TenantMismatch, Unauthenticated, UserSuspended
from atrium.kernel.ids import TenantId
from atrium.storage.secrets import Pepper
from atrium.tenants.context import Principal
from atrium.tenants.model import Tenant

if TYPE_CHECKING:
    from atrium.identity.clients.model import Client
    from atrium.identity.families.model import TokenFamily
    from atrium.identity.tokens import AccessClaims  # its library costs 70 ms, and most calls bring a key

type FindPepper = Callable[[int], Pepper]


@dataclass(frozen=True, slots=True)
class VerifiedCredential:
    """Who it is, in which tenant (None: the platform's own calls), and until when the credential itself holds.

    `login_id` is the family of an access token, empty for keys.
    """

    principal: Principal
    tenant: Tenant | None
    ends_at: datetime | None
    login_id: str = ""


@dataclass(frozen=True, slots=True)
class RejectedTenant:
    """The tenant that a refused credential names, which hears of it; `tenant` is there if it was read.

    `principal` is empty unless the credential has proven itself; `details` tell more of it. `likes` says which refusals
    for the same reason are one; empty: those of the same credential.
    """

    tenant_id: TenantId
    tenant: Tenant | None
    principal: str = ""
    details: Mapping[str, str] = field(default_factory=dict)
    likes: str = ""


@dataclass(frozen=True, slots=True)
class Refused:
    """Why not. `principal_id` is empty unless the credential has proven itself; `reason` is for log and audit."""

    failure: type[AtriumError]
    reason: str
    principal_id: str = ""
    named: RejectedTenant | None = None


type Decision = VerifiedCredential | Refused

_DELETED = Refused(TenantInactive, "tenant is deleted")


def decide_key(
    said: KeyText, key: ApiKey | None, tenant: Tenant | None, *, find_pepper: FindPepper, now: datetime
) -> Decision:
    """Decide about a tenant's key; `find_pepper` may raise `Unavailable`.

    Of a deleted tenant no key is left to compare with: every text that names it is refused as its keys were.
    """
    if key is None and tenant is not None and tenant.status == "deleted":
        return _DELETED
    refused = _disprove(said, key, find_pepper, now)
    if refused is not None or key is None:
        return refused or Refused(Unauthenticated, "unknown key")
    if tenant is None:
        return Refused(Unauthenticated, "the key's tenant is gone")
    if not tenant.is_active:
        return Refused(TenantInactive, f"tenant is {tenant.status}", key.id)
    return VerifiedCredential(principal_of_key(key), tenant, key.ends_at)


def decide_platform_key(said: KeyText, key: ApiKey | None, *, find_pepper: FindPepper, now: datetime) -> Decision:
    """Decide about one of the platform's own keys, before any tenant that it names."""
    refused = _disprove(said, key, find_pepper, now)
    if refused is not None or key is None:
        return refused or Refused(Unauthenticated, "unknown platform key")
    return VerifiedCredential(Principal("platform", key.id, key.name, frozenset({PLATFORM})), None, key.ends_at)


def decide_token(
    claims: AccessClaims,
    user: User | None,
    tenant: Tenant | None,
    login: TokenFamily | None,
    client: Client | None = None,
) -> Decision:
    """Decide about a token whose signature and times are good.

    `login` is the family that it names, if any, `client` the OAuth client that it was given to, if any.
    """
    if user is None and tenant is not None and tenant.status == "deleted":
        return _DELETED
    if user is None or tenant is None:
        return Refused(Unauthenticated, "the token's user or tenant is gone")
    ended = _find_logout(claims, user, tenant, login)
    if ended:
        return Refused(Unauthenticated, ended, user.id)
    if not tenant.is_active:
        return Refused(TenantInactive, f"tenant is {tenant.status}", user.id)
    if user.status != "active":
        return Refused(UserSuspended, f"user is {user.status}", user.id)
    principal = principal_of_user(user, client=client)
    if claims.scopes is not None or client is not None:
        principal = replace(principal, scopes=principal.scopes & (claims.scopes or frozenset()))
    return VerifiedCredential(principal, tenant, datetime.fromtimestamp(claims.expires_at, UTC), claims.family_id or "")


def _find_logout(claims: AccessClaims, user: User, tenant: Tenant, login: TokenFamily | None) -> str:
    """Return how the login of a token came to its end, or nothing."""
    if claims.family_id is not None and (login is None or login.user_id != user.id):
        return "the token's login is gone"
    if login is not None and login.revoked_at is not None:
        return "the token's login was ended"
    if claims.token_version != user.token_version or claims.tenant_token_version != tenant.token_version:
        return "the token was ended by a logout"
    return ""


def choose_tenant(decision: Decision, wanted: str) -> Decision:
    """Refuse a tenant's credential that names another tenant in `X-Tenant-ID`."""
    if isinstance(decision, VerifiedCredential) and wanted and decision.tenant and wanted != decision.tenant.id:
        named = RejectedTenant(decision.tenant.id, decision.tenant, _say(decision.principal))
        return Refused(TenantMismatch, "X-Tenant-ID is not the credential's tenant", decision.principal.id, named)
    return decision


def enter_tenant(decision: VerifiedCredential, tenant: Tenant | None) -> Decision:
    """Put a platform credential into the tenant that it names; one that does not exist is as good as inactive."""
    if tenant is None or not tenant.is_active:
        named = None if tenant is None else RejectedTenant(tenant.id, tenant, _say(decision.principal))
        return Refused(TenantInactive, "the tenant named is not there or not active", decision.principal.id, named)
    return VerifiedCredential(decision.principal, tenant, decision.ends_at)


def _say(principal: Principal) -> str:
    return f"{principal.type}:{principal.id}"


def _disprove(said: KeyText, key: ApiKey | None, find_pepper: FindPepper, now: datetime) -> Refused | None:
    """Return why a key's text is not the key that is kept, or None."""
    if key is None:
        return Refused(Unauthenticated, "unknown key")
    if not same(said.digest(find_pepper(key.pepper_version).value), key.digest):
        return Refused(Unauthenticated, "the key does not fit its record")
    if key.status(now) != "active":
        return Refused(Unauthenticated, f"the key is {key.status(now)}")
    return None
