"""Decides whether to accept a credential, given its content and the stored items. No I/O except for the pepper.

The caller receives only the error code. An invalid credential gets `UNAUTHENTICATED` regardless of the tenant's status.
Only a valid credential gets the error that its tenant or user is suspended.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from atrium.identity.key_format import EncodedKey
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

    # Importing its library takes 70 ms, and most calls do not need it, because they use an API key.
    from atrium.identity.tokens import AccessClaims

type FindPepper = Callable[[int], Pepper | None]


@dataclass(frozen=True, slots=True)
class VerifiedCredential:
    """The principal and tenant of a valid credential, and its expiry.

    `tenant` is None for calls of the platform. `login_id` is the token family of an access token and is empty for keys.
    """

    principal: Principal
    tenant: Tenant | None
    ends_at: datetime | None
    login_id: str = ""


@dataclass(frozen=True, slots=True)
class RejectedTenant:
    """The tenant of a rejected credential. Its audit records the refusal. `tenant` is set if it was read.

    `principal` is empty unless the credential was valid. `details` are for the audit. Refusals with equal reason and
    `likes` are recorded as one. If `likes` is empty, refusals of the same credential are recorded as one.
    """

    tenant_id: TenantId
    tenant: Tenant | None
    principal: str = ""
    details: Mapping[str, str] = field(default_factory=dict)
    likes: str = ""


@dataclass(frozen=True, slots=True)
class Refused:
    """A refusal. `principal_id` is empty unless the credential was valid. `reason` is for the log and the audit."""

    failure: type[AtriumError]
    reason: str
    principal_id: str = ""
    named: RejectedTenant | None = None


type Decision = VerifiedCredential | Refused

DELETED = Refused(TenantInactive, "tenant is deleted")


def decide_key(
    encoded: EncodedKey, key: ApiKey | None, tenant: Tenant | None, *, find_pepper: FindPepper, now: datetime
) -> Decision:
    """Return the decision about a tenant's key. `find_pepper` may raise `Unavailable`.

    The keys of a deleted tenant are erased, so every key with this tenant id is refused with `TENANT_INACTIVE`.
    """
    if key is None and tenant is not None and tenant.status == "deleted":
        return DELETED
    refused = _find_key_fault(encoded, key, find_pepper, now)
    if refused is not None or key is None:
        return refused or Refused(Unauthenticated, "unknown key")
    if tenant is None:
        return Refused(Unauthenticated, "the key's tenant does not exist")
    if not tenant.is_active:
        return Refused(TenantInactive, f"tenant is {tenant.status}", key.id)
    return VerifiedCredential(principal_of_key(key), tenant, key.ends_at)


def decide_platform_key(encoded: EncodedKey, key: ApiKey | None, *, find_pepper: FindPepper, now: datetime) -> Decision:
    """Return the decision about a platform key, before the tenant named in the request is checked."""
    refused = _find_key_fault(encoded, key, find_pepper, now)
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
    """Return the decision about a token whose signature and times are valid.

    `login` is the family of the token, if it has a family. `client` is the OAuth client to which it was issued, if it
    was issued to a client.
    """
    if user is None or tenant is None:
        return Refused(Unauthenticated, "the token's user or tenant does not exist")
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
    """Return how the login of a token ended, or "" if it has not ended."""
    if claims.family_id is not None and (login is None or login.user_id != user.id):
        return "the token's login does not exist"
    if login is not None and login.revoked_at is not None:
        return "the token's login was ended"
    if claims.token_version != user.token_version or claims.tenant_token_version != tenant.token_version:
        return "the token was ended by a logout"
    return ""


def choose_tenant(decision: Decision, wanted: str) -> Decision:
    """Refuse a tenant's credential if `X-Tenant-ID` names another tenant."""
    if isinstance(decision, VerifiedCredential) and wanted and decision.tenant and wanted != decision.tenant.id:
        named = RejectedTenant(decision.tenant.id, decision.tenant, _format_principal(decision.principal))
        return Refused(TenantMismatch, "X-Tenant-ID is not the credential's tenant", decision.principal.id, named)
    return decision


def enter_tenant(decision: VerifiedCredential, tenant: Tenant | None) -> Decision:
    """Apply a platform credential to the tenant named in the request.

    A missing tenant is treated like an inactive tenant.
    """
    if tenant is None or not tenant.is_active:
        named = None if tenant is None else RejectedTenant(tenant.id, tenant, _format_principal(decision.principal))
        return Refused(TenantInactive, "the named tenant does not exist or is not active", decision.principal.id, named)
    return VerifiedCredential(decision.principal, tenant, decision.ends_at)


def _format_principal(principal: Principal) -> str:
    return f"{principal.type}:{principal.id}"


def _find_key_fault(encoded: EncodedKey, key: ApiKey | None, find_pepper: FindPepper, now: datetime) -> Refused | None:
    """Return the reason why a key does not match its record or is not active, or None."""
    if key is None:
        return Refused(Unauthenticated, "unknown key")
    pepper = find_pepper(key.pepper_version)
    if pepper is None:
        return Refused(Unauthenticated, f"the key's pepper, version {key.pepper_version}, was removed")
    if not same(encoded.digest(pepper.value), key.digest):
        return Refused(Unauthenticated, "the key does not match its record")
    if key.status(now) != "active":
        return Refused(Unauthenticated, f"the key is {key.status(now)}")
    return None
