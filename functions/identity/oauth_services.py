"""Services that the OAuth endpoints share."""

from dataclasses import dataclass

from atrium.audit.model import Origin
from atrium.bootstrap import Runtime
from atrium.http.context import request_gateway_context
from atrium.http.issuing import issuer_of, open_families
from atrium.identity.clients.model import Client
from atrium.identity.families.service import TokenFamilyService
from atrium.identity.oauth.authentication import Clients, read_proof
from atrium.identity.oauth.consent import ConsentService
from atrium.identity.oauth.granting import GrantService
from atrium.identity.oauth.parameters import Parameters
from atrium.identity.oauth.tokens import TokenService
from atrium.tenants.model import Tenant
from fastapi import Request


@dataclass(frozen=True, slots=True)
class OAuthServer:
    """The services of the OAuth endpoints for one call. `authorization`: all values of the header `Authorization`."""

    runtime: Runtime
    issuer: str
    origin: Origin
    authorization: list[str]

    @property
    def families(self) -> TokenFamilyService:
        return open_families(self.runtime, self.issuer)

    @property
    def clients(self) -> Clients:
        runtime = self.runtime
        return Clients(runtime.tenant_table, runtime.secrets, runtime.clock, runtime.refusals)

    @property
    def grants(self) -> GrantService:
        return GrantService(self.families, self.runtime.tenant_table)

    @property
    def tokens(self) -> TokenService:
        return TokenService(self.families, self.runtime.tenant_table)

    @property
    def consents(self) -> ConsentService:
        runtime = self.runtime
        return ConsentService(runtime.tenant_table, runtime.secrets, runtime.settings.environment, runtime.clock)

    def authenticate(self, parameters: Parameters) -> tuple[Client, Tenant]:
        return self.clients.authenticate(read_proof(self.authorization, parameters), self.origin)

    def origin_as(self, client: Client) -> Origin:
        """Return the origin of the call with the authenticated client as its principal."""
        return Origin(f"client:{client.id}", self.origin.ip, self.origin.user_agent, self.origin.request_id)


def open_server(request: Request) -> OAuthServer:
    runtime: Runtime = request.app.state.runtime()
    gateway_context = request_gateway_context(request)
    origin = Origin("", gateway_context.source_ip, gateway_context.user_agent, gateway_context.request_id)
    return OAuthServer(runtime, issuer_of(request), origin, request.headers.getlist("authorization"))
