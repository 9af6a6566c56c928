"""The callers of a tenant, one for each kind of credential, and their permissions."""

from collections.abc import Mapping
from dataclasses import dataclass

from atrium.agent.service import default_agent
from atrium.agent.store import AgentStore
from atrium.identity.clients.model import Client
from atrium.identity.clients.store import ClientStore
from atrium.identity.tokens import build_claims, name_issuer, sign_access_token
from atrium.identity.users.model import User
from atrium.identity.users.store import UserStore
from atrium.kernel.ids import ClientId, mint_client_id, mint_user_id
from atrium.tenants.context import Role
from atrium.tenants.model import Tenant

from tests.builders.authorizing import bearer
from tests.builders.deployments import Deployment

# The scopes of each role in the contract. They are repeated here to check the table in the code.
ROLES: dict[Role, frozenset[str]] = {
    "viewer": frozenset({"sessions:read", "jobs:read", "agents:read", "usage:read"}),
    "user": frozenset(
        {"sessions:read", "jobs:read", "agents:read", "usage:read", "chat", "sessions:write", "jobs:write"}
    ),
    "admin": frozenset({"admin"}),
}


@dataclass(frozen=True)
class Caller:
    """A caller with one credential.

    `headers` contains the credential. An anonymous caller has an empty `principal_id`. `inside` is true if the caller
    acts in a tenant.
    """

    name: str
    headers: Mapping[str, str]
    principal_id: str
    scopes: frozenset[str]
    tenant: Tenant
    inside: bool = True

    @property
    def sees_all(self) -> bool:
        return bool({"admin", "platform"} & self.scopes)

    @property
    def secret(self) -> str:
        """The secret text that this caller's messages contain."""
        return f"swordfish of {self.tenant.name} {self.principal_id}"

    def may(self, scope: str) -> bool:
        if scope == "platform":
            return "platform" in self.scopes
        return not scope or scope in self.scopes or self.sees_all


def open_tenant(deployment: Deployment, name: str, operator_key: str) -> list[Caller]:
    """Create a tenant with an agent, and return its callers. The first caller has all scopes of a tenant."""
    made = deployment.onboard(name)
    assert made.admin is not None
    assert made.key is not None
    tenant = made.tenant
    AgentStore(deployment.runtime.tenant_table(tenant.id)).create(default_agent(deployment.clock), make_default=True)
    few, one = deployment.make_key(tenant.id), deployment.make_key(tenant.id, ("usage:read",))
    keys = {"admin key": made.key, "key of few scopes": few, "key of one scope": one}
    users: dict[Role, User] = {"admin": made.admin}
    users |= {role: _make_user(deployment, tenant, role, made.admin.password_hash) for role in ("user", "viewer")}
    client_scopes = frozenset({"chat", "sessions:read", "sessions:write"})
    client_id, client_token = _make_client(deployment, tenant, client_scopes)
    operator, platform = bearer(operator_key), frozenset({"platform"})
    return [
        *[
            Caller(label, bearer(each.text), each.key.id, frozenset(each.key.scopes), tenant)
            for label, each in keys.items()
        ],
        *[
            Caller(role, bearer(deployment.make_token(user)), user.id, ROLES[role], tenant)
            for role, user in users.items()
        ],
        Caller("client", bearer(client_token), client_id, client_scopes, tenant),
        Caller("operator inside", {**operator, "x-tenant-id": tenant.id}, "operator", platform, tenant),
        Caller("operator", operator, "operator", platform, tenant, inside=False),
        Caller("anonymous", {}, "", frozenset(), tenant),
    ]


def _make_user(deployment: Deployment, tenant: Tenant, role: Role, password_hash: str) -> User:
    now = deployment.clock()
    email = f"{role}@{tenant.name}.example"
    user = User(mint_user_id(now), tenant.id, email, role, "active", now, now, password_hash=password_hash)
    UserStore(deployment.runtime.tenant_table(tenant.id)).create(user)
    return user


def _make_client(deployment: Deployment, tenant: Tenant, scopes: frozenset[str]) -> tuple[ClientId, str]:
    """Create an OAuth client with the client credentials grant. Return its id and an access token."""
    now, wanted = deployment.clock(), tuple(sorted(scopes))
    client_id = mint_client_id(now, tenant.id)
    client = Client(client_id, tenant.id, "program", "confidential", (), ("client_credentials",), wanted, now, now)
    ClientStore(deployment.runtime.tenant_table(tenant.id)).create(client, [])
    claims = build_claims(
        client_id, tenant.id, token_version=0, tenant_token_version=tenant.token_version, token_id=client_id, now=now,
        scopes=scopes, client_id=client_id,
    )  # fmt: skip
    key, issuer = deployment.runtime.secrets.signing_keys()[0], name_issuer(deployment.runtime.settings)
    return client_id, sign_access_token(claims, key, issuer=issuer)
