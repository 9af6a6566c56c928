"""Restores the caller of a run that another process continues, for example after an approval.

The caller has the scopes and the role of the call that started the run. The tenant's settings are those of today.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from atrium.identity.clients.store import read_client
from atrium.identity.context import read_authorizer_context
from atrium.identity.keys.store import read_key
from atrium.identity.users.store import read_user
from atrium.kernel.errors import TenantInactive, Unauthenticated
from atrium.kernel.ids import ClientId, KeyId, RunId, TenantId, UserId
from atrium.storage import keys
from atrium.storage.keys import Key
from atrium.storage.table import TenantTable
from atrium.tenants.context import Principal, TenantContext
from atrium.tenants.store import read_tenant


def restore_caller(origin: Mapping[str, Any], run_id: RunId, table: TenantTable, now: datetime) -> TenantContext:
    """Return the context of a run's caller, from the origin that `agent.turn` recorded. Costs one batch read.

    Raises `TenantInactive`, or `Unauthenticated` if the fields are invalid or if the user, key or client was deleted,
    suspended or revoked, or has expired.
    """
    source_ip = str(origin.get("source_ip", ""))
    context = read_authorizer_context(origin["caller"], request_id=run_id, source_ip=source_ip)
    if not isinstance(context, TenantContext) or context.tenant_id != table.tenant_id:
        raise Unauthenticated(internal="the run's caller belongs to no tenant or to another one")
    place = _place(context.principal)
    found = table.batch_get([keys.tenant(), *([place] if place else [])])
    tenant = read_tenant(found[keys.tenant()]) if keys.tenant() in found else None
    if tenant is None or not tenant.is_active:
        raise TenantInactive
    if place is not None and not _is_active(context.principal, found.get(place), table.tenant_id, now):
        raise Unauthenticated(internal="the run's caller is no longer active")
    return TenantContext.of(tenant, context.caller)


def _place(principal: Principal) -> Key | None:
    """Return the key of the principal's item. The items of platform keys are not in the tenant's partition."""
    match principal.type:
        case "user":
            return keys.user(UserId(principal.id))
        case "key":
            return keys.api_key(KeyId(principal.credential_id or principal.id))
        case "client":
            return keys.client(ClientId(principal.id))
        case "platform":
            return None


def _is_active(principal: Principal, item: Mapping[str, Any] | None, tenant_id: TenantId, now: datetime) -> bool:
    if item is None:
        return False
    match principal.type:
        case "user":
            return read_user(item, tenant_id).status == "active"
        case "key":
            return read_key(item, tenant_id).status(now) == "active"
        case _:
            return read_client(item, tenant_id).id == principal.id
