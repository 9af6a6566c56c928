"""Reads the tenant of a credential with BatchGetItem, the only read action that the authorizer's role allows."""

from collections.abc import Mapping
from typing import Any

from atrium.storage import keys
from atrium.storage.keys import Key
from atrium.storage.table import TenantTable
from atrium.tenants.model import Tenant
from atrium.tenants.store import read_tenant


def tenant_in(found: Mapping[Key, Mapping[str, Any]]) -> Tenant | None:
    """Return the tenant from the items of a batch, or None if the batch does not contain the tenant."""
    item = found.get(keys.tenant())
    return read_tenant(item) if item else None


def find_tenant(table: TenantTable) -> Tenant | None:
    """Return the tenant of a table, even if it is suspended or deleted. Return None if the tenant does not exist."""
    return tenant_in(table.batch_get([keys.tenant()]))
