"""Creates the audit service of a call, with the caller as origin and with the plan's audit retention."""

from atrium.audit.model import AuditEvent, Origin, mask_details, mask_origin
from atrium.audit.service import AuditService
from atrium.audit.store import AuditStore, appending
from atrium.kernel.clock import Clock
from atrium.kernel.ids import mint_audit_event_id
from atrium.storage.table import TenantTable
from atrium.storage.writes import Put
from atrium.tenants.context import Caller, TenantContext
from atrium.tenants.model import Tenant
from atrium.tenants.plans import PLANS

PLATFORM_AUDIT_DAYS = 730


def origin_of(caller: Caller) -> Origin:
    """Return the origin of a call's audit events."""
    principal = f"{caller.principal.type}:{caller.principal.id}"
    return Origin(principal, caller.source_ip, caller.user_agent, caller.request_id)


def open_audit(context: TenantContext, table: TenantTable, clock: Clock) -> AuditService:
    """Return the audit service of a call inside a tenant."""
    return AuditService(AuditStore(table), origin_of(context.caller), PLANS[context.plan].audit_days, clock)


def platform_record(action: str, tenant: Tenant, origin: Origin, clock: Clock) -> Put:
    """Return the write that records an operation on a tenant in the platform's audit.

    The event does not contain the tenant's name.
    """
    now, details = clock(), {"action": f"tenant.{action}", "resource": tenant.id, "plan": tenant.plan}
    event = AuditEvent(
        mint_audit_event_id(now), now, "admin.change", mask_origin(origin), details=mask_details(details)
    )
    return appending(event, keep_days=PLATFORM_AUDIT_DAYS)


def audit_of(tenant: Tenant, table: TenantTable, origin: Origin, clock: Clock) -> AuditService:
    """Return the audit service of a tenant for a call without a tenant context: a login, or a call by the operator."""
    return AuditService(AuditStore(table), origin, PLANS[tenant.plan].audit_days, clock)
