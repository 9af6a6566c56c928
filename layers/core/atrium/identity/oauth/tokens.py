"""Token revocation (RFC 7009) and introspection (RFC 7662)."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from atrium.audit.model import Origin
from atrium.identity.access import decide_access, list_item_keys
from atrium.identity.clients.model import Client
from atrium.identity.families.service import TokenFamilyService
from atrium.identity.oauth.failures import OAuthRefused
from atrium.identity.tokens import AccessClaims, read_access_token
from atrium.identity.verification import VerifiedCredential
from atrium.kernel.clock import epoch_seconds
from atrium.kernel.errors import Unauthenticated
from atrium.kernel.ids import FamilyId, TenantId
from atrium.storage import keys
from atrium.storage.table import TenantTable
from atrium.storage.writes import ANY, Operation, Put
from atrium.tenants.auditing import audit_of
from atrium.tenants.model import Tenant

_TOKEN_MAX = 8_192


@dataclass(frozen=True, slots=True)
class TokenService:
    """Revokes and introspects tokens for authenticated clients."""

    families: TokenFamilyService
    table_of: Callable[[TenantId], TenantTable]

    def revoke(self, client: Client, tenant: Tenant, text: str, origin: Origin) -> None:
        """Revoke a token of the client, and the login to which the token belongs. An invalid token is ignored.

        Raises `OAuthRefused` if the token was issued to another client.
        """
        family_id = self.families.login_of(text, tenant.id)
        if family_id is not None:
            family = self.families.get(tenant.id, family_id)
            if family is not None:
                _check_owner(client, family.client_id)
                self._end(client, tenant, family_id, origin)
            return
        claims = self._read(text, tenant)
        if claims is None:
            return
        _check_owner(client, claims.client_id)
        if claims.family_id is not None:
            self._end(client, tenant, claims.family_id, origin)
        else:
            self._mark(client, tenant, claims, origin)

    def introspect(self, tenant: Tenant, text: str) -> dict[str, Any]:
        """Return the introspection response for a token (RFC 7662).

        If the token is not valid or belongs to another tenant, the response contains only `active: false`.
        """
        claims = self._read(text, tenant)
        if claims is not None:
            found = self.table_of(tenant.id).batch_get(list_item_keys(claims))
            decision = decide_access(claims, found)
            return (
                _describe(claims, decision, self.families.issuer)
                if isinstance(decision, VerifiedCredential)
                else _INACTIVE
            )
        family = self.families.find_current(text, tenant)
        if family is None:
            return _INACTIVE
        return {
            "active": True,
            "token_type": "refresh_token",
            "sub": family.user_id,
            "client_id": family.client_id or None,
            "scope": None if family.scopes is None else " ".join(family.scopes),
            "iss": self.families.issuer,
            "exp": epoch_seconds(family.expires_at),
            "tenant_id": tenant.id,
        }

    def _read(self, text: str, tenant: Tenant) -> AccessClaims | None:
        families = self.families
        if len(text) > _TOKEN_MAX:
            return None
        try:
            claims = read_access_token(
                text, issuer=families.issuer, find_key=families.secrets.find_signing_key, now=families.clock()
            )
        except Unauthenticated:
            return None
        return claims if claims.tenant_id == tenant.id else None

    def _end(self, client: Client, tenant: Tenant, family_id: FamilyId, origin: Origin) -> None:
        self.families.end(
            tenant.id, family_id, "revoked", recording=self._record(client, tenant, {"login": family_id}, origin)
        )

    def _mark(self, client: Client, tenant: Tenant, claims: AccessClaims, origin: Origin) -> None:
        """Store a marker that revokes a token of the client itself. The authorizer reads the marker."""
        ends_at = datetime.fromtimestamp(claims.expires_at, UTC)
        item = {
            "ttl": epoch_seconds(ends_at) + 3_600,
            "gsi1pk": keys.issued(),
            "gsi1sk": keys.issued_to(claims.subject, claims.token_id),
        }
        mark = Put(keys.oauth("REVOKED", claims.token_id), item, ANY)
        operations: list[Operation] = [mark, self._record(client, tenant, {"token": claims.token_id}, origin)]
        self.table_of(tenant.id).transact(operations)

    def _record(self, client: Client, tenant: Tenant, details: dict[str, Any], origin: Origin) -> Put:
        audit = audit_of(tenant, self.table_of(tenant.id), origin, self.families.clock)
        return audit.recording("auth.logout", {"by": "client", "client_id": client.id, **details})


_INACTIVE: dict[str, Any] = {"active": False}


def _check_owner(client: Client, client_id: str) -> None:
    if client_id != client.id:
        raise OAuthRefused("unauthorized_client", "the token was issued to another client")


def _describe(claims: AccessClaims, decision: VerifiedCredential, issuer: str) -> dict[str, Any]:
    return {
        "active": True,
        "token_type": "Bearer",
        "sub": claims.subject,
        "username": decision.principal.name,
        "client_id": claims.client_id or None,
        "scope": " ".join(sorted(decision.principal.scopes)),
        "iss": issuer,
        "aud": issuer,
        "iat": claims.issued_at,
        "nbf": claims.issued_at,
        "exp": claims.expires_at,
        "jti": claims.token_id,
        "tenant_id": claims.tenant_id,
    }
