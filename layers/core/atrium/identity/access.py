"""Decides whether to accept an access token, based on these items, which are read in one batch:

token of a user      the user, the tenant, the login, and the client to which the token was issued
token of a client    the client, the tenant, and the marker of a revoked token
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from atrium.identity.clients.model import Client
from atrium.identity.clients.store import read_client
from atrium.identity.families.store import read_family
from atrium.identity.principals import principal_of_client
from atrium.identity.scopes import SCOPES
from atrium.identity.tokens import AccessClaims
from atrium.identity.users.store import read_user
from atrium.identity.verification import DELETED, Decision, Refused, VerifiedCredential, decide_token
from atrium.kernel.errors import TenantInactive, Unauthenticated
from atrium.kernel.ids import ClientId, UserId
from atrium.storage import keys
from atrium.storage.keys import Key
from atrium.tenants.store import read_tenant

type Found = Mapping[Key, Mapping[str, Any]]


def list_item_keys(claims: AccessClaims) -> list[Key]:
    """Return the table keys of the items that `decide_access` needs."""
    if claims.is_client:
        return [keys.tenant(), keys.client(ClientId(claims.subject)), keys.oauth("REVOKED", claims.token_id)]
    places = [keys.tenant(), keys.user(UserId(claims.subject))]
    if claims.family_id is not None:
        places.append(keys.family(claims.family_id))
    if claims.client_id:
        places.append(keys.client(ClientId(claims.client_id)))
    return places


def decide_access(claims: AccessClaims, found: Found) -> Decision:
    """Return the decision about a token whose signature and times are valid.

    `found` contains the items of `list_item_keys` that exist.
    """
    tenant_item = found.get(keys.tenant())
    # The users and clients of a deleted tenant may already be erased, so the tenant's status is checked first.
    if tenant_item is not None and tenant_item.get("status") == "deleted":
        return DELETED
    return _decide_client(claims, found) if claims.is_client else _decide_user(claims, found)


def _decide_user(claims: AccessClaims, found: Found) -> Decision:
    user_item, tenant_item = found.get(keys.user(UserId(claims.subject))), found.get(keys.tenant())
    login_item = found.get(keys.family(claims.family_id)) if claims.family_id else None
    client: Client | None = None
    if claims.client_id:
        client_item = found.get(keys.client(ClientId(claims.client_id)))
        if client_item is None:
            return Refused(Unauthenticated, "the token's client does not exist")
        # If a scope is removed from the client, tokens that were issued earlier also lose the scope.
        client = read_client(client_item, claims.tenant_id)
    return decide_token(
        claims,
        read_user(user_item, claims.tenant_id) if user_item else None,
        read_tenant(tenant_item) if tenant_item else None,
        read_family(login_item, claims.tenant_id) if login_item else None,
        client,
    )


def _decide_client(claims: AccessClaims, found: Found) -> Decision:
    client_item, tenant_item = found.get(keys.client(ClientId(claims.subject))), found.get(keys.tenant())
    if client_item is None or tenant_item is None:
        return Refused(Unauthenticated, "the token's client or tenant does not exist")
    client, tenant = read_client(client_item, claims.tenant_id), read_tenant(tenant_item)
    if keys.oauth("REVOKED", claims.token_id) in found or claims.tenant_token_version != tenant.token_version:
        return Refused(Unauthenticated, "the token was revoked or ended by a logout", client.id)
    if not tenant.is_active:
        return Refused(TenantInactive, f"tenant is {tenant.status}", client.id)
    holder = principal_of_client(client)
    granted = frozenset(scope for scope in claims.scopes or () if scope in SCOPES and holder.has(scope))
    principal = replace(holder, scopes=granted)
    return VerifiedCredential(principal, tenant, datetime.fromtimestamp(claims.expires_at, UTC))
