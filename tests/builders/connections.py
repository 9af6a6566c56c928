"""OAuth clients of a tenant, and connections with tokens that the tests choose."""

from datetime import timedelta

from atrium.identity.connections.model import Connection, connection_purpose
from atrium.identity.connections.store import ConnectionStore
from atrium.identity.social.descriptions import ProviderName
from atrium.identity.social.model import SocialClient
from atrium.identity.social.service import SocialClientService
from atrium.identity.social.store import SocialClientStore
from atrium.tenants.context import TenantContext

from tests.builders.tenant_env import ADMIN, TenantEnv

CLIENT_SECRET = "planted-client-secret-4f1c"


def configure_client(
    tenant_env: TenantEnv, provider: ProviderName = "github", context: TenantContext = ADMIN
) -> tuple[SocialClientService, SocialClient]:
    """Register an OAuth client of a tenant. Return it, and the service that changes it."""
    tenant, audit = context.tenant_id, tenant_env.guard(context).audit
    store = SocialClientStore(tenant_env.table(tenant))
    service = SocialClientService(store, audit, tenant_env.encryption(tenant), tenant_env.clock)
    own = {"client_id": "local-client", "client_secret": CLIENT_SECRET}
    return service, service.create({"provider": provider, "name": provider, **own})


def connect(
    tenant_env: TenantEnv,
    context: TenantContext,
    provider: ProviderName = "github",
    *,
    access: str,
    refresh: str = "",
    seconds: int = 3_600,
) -> None:
    """Store a connection of a caller. Its access token expires after `seconds`."""
    key, now = tenant_env.encryption(context.tenant_id).new_data_key(), tenant_env.clock()
    connection = Connection(
        owner=context.owner,
        provider=provider,
        scopes=("repo",),
        status="active",
        created_at=now,
        updated_at=now,
        sealed_access=key.encrypt(connection_purpose(context.owner, provider, "access"), access),
        sealed_refresh=key.encrypt(connection_purpose(context.owner, provider, "refresh"), refresh) if refresh else b"",
        expires_at=now + timedelta(seconds=seconds),
    )
    record = tenant_env.guard(context).audit.recording("admin.change", {"action": "connection.create"})
    ConnectionStore(tenant_env.table(context.tenant_id)).put(connection, record)
