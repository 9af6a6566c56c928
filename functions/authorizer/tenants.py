"""The tenant of a credential, read in the one kind of read that this function makes: a batch."""

from collections.abc import Mapping
from typing import Any

from atrium.storage import keys
from atrium.storage.keys import Key
from atrium.storage.table import TenantTable
from atrium.tenants.model import Tenant
from atrium.tenants.store import read_tenant


def tenant_in(found: Mapping[Key, Mapping[str, Any]]) -> Tenant | None:
    """Return the tenant that a batch brought, if it did."""
    item = found.get(keys.tenant())
    return read_tenant(item) if item else None


def find_tenant(table: TenantTable) -> Tenant | None:
    """Return a table's tenant, in whatever state, read by itself."""
    return tenant_in(table.batch_get([keys.tenant()]))
