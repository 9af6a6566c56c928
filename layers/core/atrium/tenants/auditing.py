"""Creates the audit service of a call, with the caller as origin and the retention of the plan."""

from atrium.audit.model import Origin
from atrium.audit.service import AuditService
from atrium.audit.store import AuditStore
from atrium.kernel.clock import Clock
from atrium.storage.table import TenantTable
from atrium.tenants.context import Caller, TenantContext
from atrium.tenants.model import Tenant
from atrium.tenants.plans import PLANS


def origin_of(caller: Caller) -> Origin:
    """Return the origin of a call's audit events."""
    principal = f"{caller.principal.type}:{caller.principal.id}"
    return Origin(principal, caller.source_ip, caller.user_agent, caller.request_id)


def open_audit(context: TenantContext, table: TenantTable, clock: Clock) -> AuditService:
    """Return the audit of a call inside a tenant."""
    return AuditService(AuditStore(table), origin_of(context.caller), PLANS[context.plan].audit_days, clock)


def audit_of(tenant: Tenant, table: TenantTable, origin: Origin, clock: Clock) -> AuditService:
    """Return the audit of a tenant for a call outside a tenant context: a login, or a call by the operator."""
    return AuditService(AuditStore(table), origin, PLANS[tenant.plan].audit_days, clock)
