"""A tenant that trusts an issuer on this machine, and the authorizer."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from atrium.audit.query import make_query
from atrium.audit.store import AuditStore
from atrium.identity.onboarding import Onboarded
from atrium.identity.providers.model import IdentityProvider
from atrium.identity.providers.service import IdentityProviderService
from atrium.identity.providers.store import IdentityProviderStore, IssuerRegistry
from atrium.tenants.auditing import open_audit
from atrium.tenants.context import Caller, Principal, TenantContext

from tests.builders.authorizing import AuthorizerEnv, bearer
from tests.builders.deployments import Deployment
from tests.builders.issuers import AUDIENCE, Issuer, open_issuer

LOCAL = {"EGRESS_LOCAL_ADDRESSES": "127.0.0.1"}


@dataclass
class Trusting:
    """A deployment with one tenant that trusts one issuer. `headers` are sent with every call."""

    deployment: Deployment
    made: Onboarded
    issuer: Issuer
    authorizer_env: AuthorizerEnv
    headers: dict[str, str] = field(default_factory=dict)

    def service(self, made: Onboarded | None = None) -> IdentityProviderService:
        tenant, runtime = (made or self.made).tenant, self.deployment.runtime
        table = runtime.tenant_table(tenant.id)
        caller = Caller(Principal("key", "key_1", "k", frozenset({"admin"})), "req-1")
        context = TenantContext(tenant.id, tenant.name, tenant.plan, 1, caller)
        audit = open_audit(context, table, runtime.clock)
        store, registry = IdentityProviderStore(table), IssuerRegistry(runtime.platform_table)
        return IdentityProviderService(context, store, registry, audit, frozenset({"127.0.0.1"}), runtime.clock)

    def trust(self, **changes: Any) -> IdentityProvider:
        wanted = {"name": "login", "issuer": self.issuer.url, "audience": AUDIENCE, **changes}
        return self.service().create(wanted)

    def token(self, **changes: Any) -> str:
        return self.issuer.token(self.deployment.clock(), **changes)

    def context(self, **changes: Any) -> dict[str, Any]:
        """Return the context of an admitted call."""
        return self.authorizer_env.context({**bearer(self.token(**changes)), **self.headers})

    def told(self) -> list[tuple[str, dict[str, Any]]]:
        """Return the authentication events in the tenant's audit, oldest first."""
        store = AuditStore(self.deployment.runtime.tenant_table(self.made.tenant.id))
        now = self.deployment.clock()
        events = store.list_all(make_query(now=now), now=now)
        return [(str(event.type), dict(event.details)) for event in events if event.type.startswith("auth.")][::-1]


def open_authorizer(deployment: Deployment, wait_seconds: float = 5) -> AuthorizerEnv:
    """Return an authorizer in a new container.

    By default, the authorizer waits longer than in production, because an issuer is slow on a busy machine.
    """
    opened = AuthorizerEnv(deployment, **LOCAL)
    opened.authorizer._foreign.finder.wait_seconds = wait_seconds
    return opened


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with open_issuer() as opened:
        yield opened


@pytest.fixture
def trusting(deployment: Deployment, issuer: Issuer) -> Trusting:
    return Trusting(deployment, deployment.onboard(), issuer, open_authorizer(deployment))
