"""The token endpoint for authenticated clients (RFC 6749 §4, OAuth 2.1)."""

import hashlib
import re
import secrets as random
from collections.abc import Callable
from dataclasses import dataclass, field

from atrium.audit.model import Origin
from atrium.identity.clients.model import GRANT_TYPES, Client
from atrium.identity.families.decision import check_holder
from atrium.identity.families.model import IssuedTokens
from atrium.identity.families.service import TokenFamilyService
from atrium.identity.oauth.codes import Code, CodeStore, digest_code, tenant_of_code
from atrium.identity.oauth.failures import OAuthRefused
from atrium.identity.oauth.id_token import sign_id_token
from atrium.identity.oauth.parameters import Parameters, check_resources
from atrium.identity.oauth.request import choose_scopes, read_scopes
from atrium.identity.tokens import ACCESS_SECONDS, build_claims, sign_access_token
from atrium.identity.users.model import User
from atrium.identity.users.store import UserStore
from atrium.kernel.crypto import encode_base64url, same
from atrium.kernel.errors import Forbidden, ScopeRequired, Unauthenticated
from atrium.kernel.ids import FamilyId, TenantId, mint_family_id
from atrium.storage.table import TenantTable, TransactionRefused
from atrium.tenants.auditing import audit_of
from atrium.tenants.model import Tenant

_VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}")


@dataclass(frozen=True, slots=True)
class Granted:
    """A successful token response (RFC 6749 §5.1). The response omits empty fields."""

    access_token: str = field(repr=False)
    expires_in: int
    scope: str
    refresh_token: str = field(default="", repr=False)
    id_token: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class GrantService:
    """Issues tokens to the clients of all tenants."""

    families: TokenFamilyService
    table_of: Callable[[TenantId], TenantTable]

    def grant(self, client: Client, tenant: Tenant, parameters: Parameters, origin: Origin) -> Granted:
        """Return the tokens for a token request; raise `OAuthRefused` if the request is invalid or not allowed."""
        kind = parameters.need("grant_type")
        if kind not in GRANT_TYPES:
            raise OAuthRefused("unsupported_grant_type", f"grant_type must be one of {', '.join(GRANT_TYPES)}")
        if not client.may(kind):
            raise OAuthRefused("unauthorized_client", f"this client may not use {kind}")
        check_resources(parameters.resources, self.families.issuer)
        if kind == "client_credentials":
            return self._for_itself(client, tenant, parameters)
        if kind == "refresh_token":
            return self._refresh(client, parameters, origin)
        return self._exchange(client, tenant, parameters, origin)

    def _for_itself(self, client: Client, tenant: Tenant, parameters: Parameters) -> Granted:
        scopes = choose_scopes(parameters.get("scope"), client)
        claims = build_claims(
            client.id,
            tenant.id,
            token_version=0,
            tenant_token_version=tenant.token_version,
            token_id=random.token_hex(16),
            now=self.families.clock(),
            scopes=frozenset(scopes),
            client_id=client.id,
        )
        key = self.families.signing_key()
        text = sign_access_token(claims, key, issuer=self.families.issuer)
        return Granted(text, ACCESS_SECONDS, " ".join(scopes))

    def _refresh(self, client: Client, parameters: Parameters, origin: Origin) -> Granted:
        asked = parameters.get("scope")
        wanted = frozenset(read_scopes(asked, oidc=True)) if asked else None
        text = parameters.need("refresh_token")
        try:
            issued = self.families.refresh(text, origin=origin, client_id=client.id, scopes=wanted)
        except ScopeRequired:
            raise OAuthRefused("invalid_scope", "scope contains a scope that the user has not granted") from None
        except (Unauthenticated, Forbidden) as error:
            raise OAuthRefused("invalid_grant", "the refresh token is not valid", internal=error.internal) from None
        return self._answer(client, issued)

    def _exchange(self, client: Client, tenant: Tenant, parameters: Parameters, origin: Origin) -> Granted:
        store, text = CodeStore(self.table_of(tenant.id)), parameters.need("code")
        families = self.families
        named = tenant_of_code(text, families.environment, families.secrets.peppers("authorization_code").find)
        code = store.get(digest_code(text)) if named == tenant.id else None
        if code is None or code.client_id != client.id:
            raise _refuse(
                "unknown code, or code of another client", client, tenant, self, origin, is_named=named is not None
            )
        if code.family_id is not None:
            self._refuse_reuse(code.family_id, client, tenant, origin)
        fault = self._find_fault(code, parameters)
        if fault:
            raise _refuse(fault, client, tenant, self, origin)
        user = UserStore(store.table).get(code.user_id)
        if user is None or check_holder(code, user, tenant) is not None:
            raise _refuse("the user may no longer log in", client, tenant, self, origin)
        family_id = mint_family_id(families.clock())
        try:
            issued = families.begin(
                user, tenant, origin=origin, scopes=frozenset(code.scopes), client_id=client.id,
                family_id=family_id, also=[store.using(code, family_id)],
            )  # fmt: skip
        except TransactionRefused:
            used = store.get(code.digest)
            raise self._refuse_reuse(used.family_id if used else None, client, tenant, origin) from None
        return self._answer(client, issued, self._identify(code, user))

    def _find_fault(self, code: Code, parameters: Parameters) -> str:
        """Return the reason why a code is not valid for this request, or ""."""
        if self.families.clock() >= code.expires_at:
            return "the code has expired"
        if not code.scopes:
            return "the user granted no scope"
        redirect = parameters.get("redirect_uri")
        if redirect != code.redirect_uri and (redirect or code.redirect_sent):
            return "redirect_uri must equal the redirect_uri of the authorization request"
        verifier = parameters.get("code_verifier")
        if not _VERIFIER.fullmatch(verifier):
            return "code_verifier is missing or malformed: it must have 43 to 128 unreserved characters"
        challenge = encode_base64url(hashlib.sha256(verifier.encode()).digest())
        return (
            ""
            if same(challenge.encode(), code.code_challenge.encode())
            else "code_verifier does not match the code_challenge"
        )

    def _refuse_reuse(self, family_id: FamilyId | None, client: Client, tenant: Tenant, origin: Origin) -> OAuthRefused:
        """Revoke the login that was created with a code, write an audit event, and raise the error for the reuse."""
        audit = audit_of(tenant, self.table_of(tenant.id), origin, self.families.clock)
        if family_id is not None:
            details = {"by": "code", "client_id": client.id, "login": family_id}
            recording = audit.recording("auth.token_reuse", details)
            self.families.end(tenant.id, family_id, "code reuse", recording=recording)
        raise OAuthRefused("invalid_grant", "the code is not valid", internal="the code was used before")

    def _identify(self, code: Code, user: User) -> str:
        if "openid" not in code.scopes:
            return ""
        families = self.families
        return sign_id_token(code, user, families.signing_key(), issuer=families.issuer, now=families.clock())

    def _answer(self, client: Client, issued: IssuedTokens, id_token: str = "") -> Granted:
        refresh = issued.refresh_token if client.may("refresh_token") else ""
        return Granted(issued.access_token, issued.expires_in, " ".join(issued.scopes or ()), refresh, id_token)


def _refuse(
    reason: str, client: Client, tenant: Tenant, service: GrantService, origin: Origin, *, is_named: bool = True
) -> OAuthRefused:
    """Return the error for an invalid code. If `is_named` is set, record the refusal in the tenant's audit."""
    if is_named:
        audit = audit_of(tenant, service.table_of(tenant.id), origin, service.families.clock)
        audit.record_refusal({"by": "code", "client_id": client.id, "reason": reason}, service.families.refusals)
    return OAuthRefused(
        "invalid_grant", reason if "code_" in reason or "redirect" in reason else "the code is not valid"
    )
