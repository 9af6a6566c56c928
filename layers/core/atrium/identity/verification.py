"""Decides whether to accept a credential, based on its content and the stored items.

The only I/O is reading a pepper. The response does not contain the reason for a rejection. An invalid credential is
rejected with `UNAUTHENTICATED`, even if its tenant is suspended. Only a valid credential is rejected with the error
that its tenant or user is suspended. The credentials of a deleted tenant may already be erased, so they are rejected
with `TENANT_INACTIVE`.
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

    # Importing the JWT library takes 70 ms. Most calls use an API key and do not need the library.
    from atrium.identity.tokens import AccessClaims

type FindPepper = Callable[[int], Pepper | None]


@dataclass(frozen=True, slots=True)
class VerifiedCredential:
    """The principal, tenant and expiry of a valid credential.

    `tenant` is None for a platform key without a tenant. `ends_at` is None if the credential does not expire.
    `login_id` is the token family of an access token, and is empty for other credentials.
    """

    principal: Principal
    tenant: Tenant | None
    ends_at: datetime | None
    login_id: str = ""


@dataclass(frozen=True, slots=True)
class RejectedTenant:
    """The tenant in whose audit a rejected credential is recorded. `tenant` is None if the tenant was not read.

    `principal` is empty unless the credential is valid. `details` are added to the audit event. A container records
    one refusal per minute for each reason and value of `likes`, or for each reason and credential if `likes` is empty.
    """

    tenant_id: TenantId
    tenant: Tenant | None
    principal: str = ""
    details: Mapping[str, str] = field(default_factory=dict)
    likes: str = ""


@dataclass(frozen=True, slots=True)
class Refused:
    """The rejection of a credential. The response contains the error `failure`, but not the `reason`.

    `reason` is for the log and the audit. `principal_id` is empty unless the credential is valid. `named` is the tenant
    in whose audit the rejection is recorded.
    """

    failure: type[AtriumError]
    reason: str
    principal_id: str = ""
    named: RejectedTenant | None = None


type Decision = VerifiedCredential | Refused

DELETED = Refused(TenantInactive, "tenant is deleted")


def decide_key(
    encoded: EncodedKey, key: ApiKey | None, tenant: Tenant | None, *, find_pepper: FindPepper, now: datetime
) -> Decision:
    """Return the decision about an API key of a tenant. `find_pepper` may raise `Unavailable`.

    The keys of a deleted tenant are erased, so an unknown key of a deleted tenant is rejected with `TENANT_INACTIVE`.
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
    """Return the decision about a platform key, without the tenant that the request names (see `enter_tenant`)."""
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
    """Return the decision about a user's token whose signature and times are valid.

    `login` is the stored token family of the login, or None. `client` is the OAuth client to which the token was
    issued, or None.
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
    """Return the reason why the login of a token is no longer valid, or "" if the login is valid."""
    if claims.family_id is not None and (login is None or login.user_id != user.id):
        return "the token's login does not exist"
    if login is not None and login.revoked_at is not None:
        return "the token's login was ended"
    if claims.token_version != user.token_version or claims.tenant_token_version != tenant.token_version:
        return "the token was ended by a logout"
    return ""


def choose_tenant(decision: Decision, wanted: str) -> Decision:
    """Return a refusal if `X-Tenant-ID` (`wanted`) differs from the tenant of the credential.

    Otherwise, return the decision unchanged.
    """
    if isinstance(decision, VerifiedCredential) and wanted and decision.tenant and wanted != decision.tenant.id:
        named = RejectedTenant(decision.tenant.id, decision.tenant, _format_principal(decision.principal))
        return Refused(TenantMismatch, "X-Tenant-ID is not the credential's tenant", decision.principal.id, named)
    return decision


def enter_tenant(decision: VerifiedCredential, tenant: Tenant | None) -> Decision:
    """Return the decision about a platform key for the tenant that the request names.

    If the tenant does not exist, the key is refused in the same way as for an inactive tenant.
    """
    if tenant is None or not tenant.is_active:
        named = None if tenant is None else RejectedTenant(tenant.id, tenant, _format_principal(decision.principal))
        return Refused(TenantInactive, "the named tenant does not exist or is not active", decision.principal.id, named)
    return VerifiedCredential(decision.principal, tenant, decision.ends_at)


def _format_principal(principal: Principal) -> str:
    return f"{principal.type}:{principal.id}"


def _find_key_fault(encoded: EncodedKey, key: ApiKey | None, find_pepper: FindPepper, now: datetime) -> Refused | None:
    """Return a refusal if the key does not match its record or is not active, otherwise None."""
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
