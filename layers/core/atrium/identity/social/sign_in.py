"""Sign-in with an OAuth provider.

    authorize   writes nothing, because the state contains all data
    callback    uses the state, exchanges the code, reads the profile, finds or creates the user, creates a login

A refusal after the state was verified is recorded in the audit of the tenant that the state contains.
"""

from collections.abc import Callable
from dataclasses import dataclass

from atrium.audit.model import Origin
from atrium.audit.service import AuditService
from atrium.identity.families.model import IssuedTokens
from atrium.identity.families.service import TokenFamilyService
from atrium.identity.providers.external_identities import ExternalIdentities, UnknownSubject
from atrium.identity.providers.mapping import Profile
from atrium.identity.providers.model import SubjectSource
from atrium.identity.social.descriptions import Description
from atrium.identity.social.flow import Flow, Returned
from atrium.identity.social.model import SocialClient
from atrium.identity.social.profile import ProfileReader, SocialProfile
from atrium.identity.social.service import check_redirect
from atrium.identity.social.state import FlowState, StateSealer, check_browser
from atrium.identity.users.model import User
from atrium.kernel.clock import Clock
from atrium.kernel.errors import (
    AtriumError,
    EmailUnverified,
    Forbidden,
    NotFound,
    TenantInactive,
    UserSuspended,
)
from atrium.kernel.ids import TenantId
from atrium.storage.table import TenantTable
from atrium.tenants.auditing import audit_of
from atrium.tenants.model import Tenant
from atrium.tenants.store import TenantStore

type FlowOf = Callable[[TenantId, Description], Flow]


@dataclass(frozen=True, slots=True)
class BrowserBinding:
    """The value that identifies the browser that started the flow: the PKCE verifier or the cookie."""

    verifier: str = ""
    cookie: str = ""


@dataclass(frozen=True, slots=True)
class SocialSignIn:
    """Sign-in with one provider, for all tenants."""

    description: Description
    table_of: Callable[[TenantId], TenantTable]
    flow_of: FlowOf
    sealer: StateSealer
    profiles: ProfileReader
    families: TokenFamilyService
    clock: Clock

    def authorize(self, tenant_id: TenantId, redirect_uri: str | None, *, challenge: str, cookie: str) -> str:
        """Start a sign-in and return the URL to which the browser must be redirected.

        Raises `NotFound` if the tenant does not exist or is not active, if the provider is not configured, or if the
        redirect URI is not registered. The first two cases have the same error text.
        """
        tenant = TenantStore(self.table_of(tenant_id)).get()
        if tenant is None or not tenant.is_active:
            raise NotFound("this provider is not configured for the tenant")
        flow = self.flow_of(tenant_id, self.description)
        address = check_redirect(flow.client, redirect_uri)
        state = self.sealer.begin(
            "sign_in", self.description.name, tenant_id, address, self.clock(), challenge=challenge, cookie=cookie
        )
        return flow.authorize_url(state)[0]

    def complete(self, text: str, returned: Returned, proof: BrowserBinding, origin: Origin) -> IssuedTokens:
        """Complete the flow and return the tokens of a new login.

        Raises `StateInvalid`, `ProviderRefused` or `ProviderFailed` if the flow fails. Raises `EmailUnverified`,
        `Forbidden`, `UserSuspended` or `TenantInactive` if the user may not log in.
        """
        state = self.sealer.open(text, purpose="sign_in", provider=self.description.name, now=self.clock())
        table = self.table_of(state.tenant_id)
        tenant = TenantStore(table).get()
        if tenant is None or not tenant.is_visible:
            raise NotFound("this provider is not configured for the tenant")
        audit = audit_of(tenant, table, origin, self.clock)
        try:
            check_browser(state, verifier=proof.verifier, cookie=proof.cookie)
            return self._complete(text, state, returned, table, tenant, audit, origin)
        except AtriumError as failure:
            details = {"by": "social sign-in", "provider": self.description.name, "code": failure.code}
            audit.record_refusal({**details, "reason": failure.internal or failure.detail}, self.families.refusals)
            raise

    def _complete(
        self,
        text: str,
        state: FlowState,
        returned: Returned,
        table: TenantTable,
        tenant: Tenant,
        audit: AuditService,
        origin: Origin,
    ) -> IssuedTokens:
        if not tenant.is_active:
            raise TenantInactive
        flow = self.flow_of(tenant.id, self.description)
        grant = flow.redeem(table, text, state, returned)
        nonce = self.sealer.id_nonce(state)
        profile = self.profiles.read(self.description, grant, client_id=flow.client_id, nonce=nonce)
        user = self._find_user(flow.client, profile, ExternalIdentities(table, audit, self.clock), tenant)
        origin_of_user = Origin(f"user:{user.id}", origin.ip, origin.user_agent, origin.request_id)
        details = {"by": "social sign-in", "provider": self.description.name, "user": user.id}
        record = audit_of(tenant, table, origin_of_user, self.clock).recording("auth.login", details)
        return self.families.begin(user, tenant, origin=origin, also=[record])

    def _find_user(
        self, client: SocialClient, profile: SocialProfile, external_identities: ExternalIdentities, tenant: Tenant
    ) -> User:
        if not profile.email:
            raise EmailUnverified(internal=f"{self.description.name} has not verified the email")
        domain = profile.email.rpartition("@")[2].lower()
        if client.email_domains and domain not in client.email_domains:
            raise Forbidden("Emails of this domain may not sign in to the tenant")
        source = SubjectSource(self.description.issuer, client.id, client.provision_users, client.default_role)
        found = external_identities.find(source, profile.subject, Profile(profile.email, profile.name, None), tenant)
        if isinstance(found, UnknownSubject):
            raise Forbidden("No user with this email in the tenant; ask an administrator for an invitation")
        if found.status == "suspended":
            raise UserSuspended
        return found
