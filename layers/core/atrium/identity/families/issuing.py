"""Creates token families, and signs the access tokens of a family."""

import secrets
from dataclasses import dataclass
from datetime import datetime

from atrium.audit.model import Origin, mask_origin
from atrium.identity.clients.model import OIDC_SCOPES
from atrium.identity.families.model import IssuedTokens, TokenFamily, end_of_token
from atrium.identity.families.refresh_text import SECRET_BYTES, encode_refresh_token
from atrium.identity.scopes import TENANT_SCOPES
from atrium.identity.tokens import ACCESS_SECONDS, build_claims, sign_access_token
from atrium.identity.users.model import User
from atrium.kernel.clock import Clock
from atrium.kernel.ids import FamilyId, mint_family_id
from atrium.settings import Environment
from atrium.storage.secrets import Pepper, SigningKey
from atrium.tenants.model import Tenant


def make_token_family(
    user: User,
    tenant: Tenant,
    environment: Environment,
    pepper: Pepper,
    now: datetime,
    *,
    origin: Origin,
    scopes: frozenset[str] | None,
    client_id: str,
    family_id: FamilyId | None = None,
) -> tuple[TokenFamily, str]:
    """Return a new family and its first refresh token. Stores nothing."""
    family_id, where = family_id or mint_family_id(now), mask_origin(origin)
    text, token = encode_refresh_token(
        environment,
        pepper,
        family_id=family_id,
        tenant_id=tenant.id,
        sequence=1,
        secret=secrets.token_bytes(SECRET_BYTES),
    )
    family = TokenFamily(
        id=family_id,
        tenant_id=tenant.id,
        user_id=user.id,
        digest=token.digest,
        pepper_version=pepper.version,
        token_version=user.token_version,
        tenant_token_version=tenant.token_version,
        created_at=now,
        expires_at=end_of_token(now, now),
        scopes=None if scopes is None else order_scopes(scopes),
        client_id=client_id,
        ip=where.ip,
        user_agent=where.user_agent,
    )
    return family, text


def order_scopes(scopes: frozenset[str]) -> tuple[str, ...]:
    """Return the known scopes in a fixed order: tenant scopes before OpenID Connect scopes."""
    return tuple(name for name in (*TENANT_SCOPES, *OIDC_SCOPES) if name in scopes)


@dataclass(frozen=True, slots=True)
class AccessSigner:
    """Signs access tokens of token families."""

    key: SigningKey
    issuer: str
    clock: Clock

    def issue(
        self, family: TokenFamily, refresh_token: str, user: User, tenant: Tenant, scopes: frozenset[str] | None
    ) -> IssuedTokens:
        """Return a new access token with the refresh token. `scopes` restricts the scopes of the access token."""
        own = family.scopes if scopes is None else order_scopes(scopes)
        claims = build_claims(
            family.user_id,
            family.tenant_id,
            token_version=family.token_version,
            tenant_token_version=family.tenant_token_version,
            token_id=secrets.token_hex(16),
            now=self.clock(),
            family_id=family.id,
            scopes=None if own is None else frozenset(own),
            client_id=family.client_id,
        )
        text = sign_access_token(claims, self.key, issuer=self.issuer)
        return IssuedTokens(text, ACCESS_SECONDS, refresh_token, user, tenant, family, own)
