"""Reads and changes the settings that a tenant's administrators can change.

One transaction writes the change, the new `config_version` and the audit event. The operator's fields of the tenant
item are neither returned nor changed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from atrium.audit.service import AuditService
from atrium.egress.destination import HostList
from atrium.kernel.clock import Clock
from atrium.kernel.errors import Conflict, NotFound, invalid_field
from atrium.storage.table import TenantTable, TransactionRefused
from atrium.tenants.context import KeyUse
from atrium.tenants.model import ScreeningMode, Tenant, find_settings_fault
from atrium.tenants.store import TenantStore

_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class TenantSettings:
    """The settings of a tenant. `version` is the tenant's `config_version`."""

    features: Mapping[str, bool]
    audits_all: bool
    prompt_injection: ScreeningMode
    outbound: HostList
    platform_model_key: bool
    undelete_days: int
    session_retention_days: int | None
    version: int
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class SettingsService:
    """The operations on one tenant's settings. The routes check the scope."""

    table: TenantTable
    audit: AuditService
    clock: Clock

    def get(self) -> TenantSettings:
        return _read(self._tenant())

    def change(self, changes: Mapping[str, Any]) -> TenantSettings:
        """Change settings. Features and lists of hosts that are not in `changes` are not changed.

        None removes a feature.

        Raises `ValidationFailed`, or `Conflict` after repeated concurrent changes.
        """
        for _ in range(_ATTEMPTS):
            tenant = self._tenant()
            wanted = _merge(tenant.settings, changes)
            if wanted == tenant.settings:
                return _read(tenant)
            details = {"action": "settings.change", "resource": "settings", **changes}
            store = TenantStore(self.table)
            change = store.changing({"settings": wanted}, now=self.clock(), version=tenant.config_version)
            try:
                self.table.transact([change, self.audit.recording("admin.change", details)])
            except TransactionRefused:
                continue
            return _read(self._tenant())
        raise Conflict("the tenant was modified by other calls; try again")

    def _tenant(self) -> Tenant:
        tenant = TenantStore(self.table).get()
        if tenant is None or not tenant.is_visible:
            raise NotFound("tenant not found")
        return tenant


def _merge(settings: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    wanted = {**settings, **changes}
    if "features" in changes:
        switches = {**settings.get("features", {}), **changes["features"]}
        wanted["features"] = {name: on for name, on in switches.items() if on is not None}
    if "outbound" in changes:
        wanted["outbound"] = {**settings.get("outbound", {}), **changes["outbound"]}
    fault = find_settings_fault({name: wanted[name] for name in changes})
    if fault is not None:
        raise invalid_field(*fault)
    return wanted


def _read(tenant: Tenant) -> TenantSettings:
    features = dict(sorted(tenant.settings.get("features", {}).items()))
    return TenantSettings(
        features,
        tenant.audits_all,
        tenant.prompt_injection,
        tenant.outbound,
        KeyUse.of(tenant.own_model_keys, tenant.settings).platform,
        tenant.undelete_days,
        tenant.session_retention_days,
        tenant.config_version,
        tenant.updated_at,
    )
