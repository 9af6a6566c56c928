"""Issues an authorization code after a user's consent."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from atrium.audit.model import Origin
from atrium.identity.clients.model import OIDC_SCOPES
from atrium.identity.oauth.codes import CODE_SECONDS, Code, CodeStore, digest_code, mint_code
from atrium.identity.oauth.failures import OAuthRefused
from atrium.identity.oauth.request import AuthorizationRequest
from atrium.identity.scopes import scopes_of_role
from atrium.identity.users.model import User
from atrium.kernel.clock import Clock
from atrium.kernel.ids import TenantId
from atrium.settings import Environment
from atrium.storage.secrets import Secrets
from atrium.storage.table import TenantTable
from atrium.tenants.auditing import audit_of
from atrium.tenants.model import Tenant


@dataclass(frozen=True, slots=True)
class ConsentService:
    """Issues authorization codes for the clients of all tenants."""

    table_of: Callable[[TenantId], TenantTable]
    secrets: Secrets
    environment: Environment
    clock: Clock

    def approve(self, request: AuthorizationRequest, user: User, tenant: Tenant, origin: Origin) -> str:
        """Return a code for a user who has authenticated and consented, and write an audit event.

        Users can grant only scopes of their role. Raises `OAuthRefused` if the role has none of the requested scopes.
        """
        own = scopes_of_role(user.role) | set(OIDC_SCOPES)
        scopes = tuple(scope for scope in request.scopes if scope in own)
        if not scopes:
            raise OAuthRefused("access_denied", "the user's role has none of the requested scopes")
        now = self.clock()
        text = mint_code(self.environment, self.secrets.peppers("authorization_code").current(), tenant.id)
        code = Code(
            digest=digest_code(text),
            client_id=request.client_id,
            user_id=user.id,
            redirect_uri=request.redirect_uri,
            redirect_sent=request.redirect_sent,
            scopes=scopes,
            code_challenge=request.code_challenge,
            nonce=request.nonce,
            token_version=user.token_version,
            tenant_token_version=tenant.token_version,
            authenticated_at=now,
            expires_at=now + timedelta(seconds=CODE_SECONDS),
        )
        table = self.table_of(tenant.id)
        audit = audit_of(tenant, table, origin, self.clock)
        details = {"by": "consent", "client_id": request.client_id, "scopes": list(code.scopes)}
        CodeStore(table).create(code, [audit.recording("auth.login", details)])
        return text
