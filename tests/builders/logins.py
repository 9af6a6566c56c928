"""The logins of a tenant, and clients of the identity function."""

from dataclasses import dataclass
from typing import Any

from atrium.audit.model import AuditEvent, Origin
from atrium.audit.query import make_query
from atrium.audit.store import AuditStore
from atrium.http.issuing import open_families
from atrium.identity.families.model import IssuedTokens
from atrium.identity.families.service import TokenFamilyService
from atrium.identity.onboarding import Onboarded
from atrium.identity.tokens import name_issuer
from atrium.identity.users.model import User
from atrium.kernel.ids import TenantId
from atrium.kernel.pagination import PageRequest
from starlette.testclient import TestClient

from functions.identity.app import build
from tests.builders.authorizing import AuthorizerEnv, bearer
from tests.builders.deployments import Deployment
from tests.builders.gateway import call_as

ORIGIN = Origin("", "203.0.113.7", "a browser", "request-1")


@dataclass
class Logins:
    """The logins of one tenant."""

    deployment: Deployment
    made: Onboarded

    @property
    def admin(self) -> User:
        assert self.made.admin is not None
        return self.made.admin

    @property
    def families(self) -> TokenFamilyService:
        runtime = self.deployment.runtime
        return open_families(runtime, name_issuer(runtime.settings))

    def begin(self, user: User | None = None, **options: Any) -> IssuedTokens:
        tenant = self.deployment.tenants.get(self.made.tenant.id)
        return self.families.begin(user or self.admin, tenant, origin=ORIGIN, **options)

    def client(self, access_token: str | None = None) -> TestClient:
        """Return a client of the identity function. Assert that the authorizer admits the access token, if given."""
        fields = AuthorizerEnv(self.deployment).context(bearer(access_token)) if access_token else None
        return call_as(build(lambda: self.deployment.runtime), fields)

    def audited(self, type: str = "") -> list[AuditEvent]:
        """Return the tenant's audit events of a type (by default of all types), newest first."""
        return audited(self.deployment, self.made.tenant.id, type)


def open_logins(deployment: Deployment, name: str = "acme") -> Logins:
    return Logins(deployment, deployment.onboard(name))


def audited(deployment: Deployment, tenant_id: TenantId, type: str = "") -> list[AuditEvent]:
    """Return the tenant's audit events of a type (by default of all types), newest first."""
    now = deployment.clock()
    store = AuditStore(deployment.runtime.tenant_table(tenant_id))
    found = store.list(make_query(now=now), PageRequest(100, None), now=now)
    return [event for event in found.items if not type or event.type == type]
