"""Functions that read the admission items of a tenant."""

from atrium.kernel.ids import TenantId
from atrium.quotas.item import AdmissionItem
from atrium.quotas.limits import DEFINITIONS
from atrium.quotas.model import LimitName
from atrium.storage import keys

from tests.builders.tenant_env import TENANT, TenantEnv


def admission_item(tenant_env: TenantEnv, tenant: TenantId = TENANT, scope_id: str = "") -> AdmissionItem:
    """Return a scope's current admission item."""
    return AdmissionItem(tenant_env.table(tenant).get(keys.admission(scope_id)), tenant_env.clock().timestamp())


def held(tenant_env: TenantEnv, tenant: TenantId = TENANT) -> list[str]:
    """Return the names of the tenant's concurrency slots, including slots whose lease has expired."""
    item = admission_item(tenant_env, tenant)
    return [*item.slots, *item.late]


def counted(tenant_env: TenantEnv, limit: LimitName, tenant: TenantId = TENANT) -> int:
    """Return the tenant's current usage of a limit."""
    definition = DEFINITIONS[limit]
    key = keys.tool_calls("") if definition.place == "tool_calls" else keys.admission("")
    return AdmissionItem(tenant_env.table(tenant).get(key), tenant_env.clock().timestamp()).used(definition)
