"""The part of the sweeper that removes sessions, and the settings of a tenant about sessions."""

import json

from atrium.kernel.ids import TenantId
from atrium.sessions.retention import SessionSweep, SessionSweepReport
from atrium.storage import keys
from atrium.storage.sweep import list_due_sessions, list_retaining
from atrium.tenants.store import TenantStore

from tests.builders.tenant_env import OTHER_TENANT, TENANT, TenantEnv

DAY_SECONDS = 86_400


def sweep_sessions(tenant_env: TenantEnv) -> SessionSweepReport:
    """Remove the sessions that are due, and delete the idle sessions of all tenants. Raise the first failure."""

    def fail(_: object, error: Exception) -> None:
        raise error

    due = list_due_sessions(tenant_env.physical, tenant_env.clock())
    minutes = {keys.retention_minute(tenant) for tenant in (TENANT, OTHER_TENANT)}
    tenants = [tenant for minute in minutes for tenant in list_retaining(tenant_env.physical, minute)]
    return SessionSweep(tenant_env.runs, tenant_env.clock, lambda: True, fail).run(due, tenants)


def set_settings(tenant_env: TenantEnv, tenant: TenantId = TENANT, **settings: object) -> None:
    """Set the settings of a tenant, like `PATCH /v1/settings`."""
    store = TenantStore(tenant_env.table(tenant))
    found = store.get()
    assert found is not None
    store.change({"settings": json.loads(json.dumps(settings))}, now=tenant_env.clock())
