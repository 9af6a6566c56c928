"""A tenant's own settings, as its administrators change them: a change, the new `config_version` and the audit's record
are one transaction. What the operator keeps beside them in the tenant's item is neither shown nor touched.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from atrium.audit.service import AuditService
from atrium.kernel.clock import Clock
from atrium.kernel.errors import Conflict, NotFound, invalid_field
from atrium.storage.table import TenantTable, TransactionRefused
from atrium.tenants.model import ScreeningMode, Tenant, find_settings_fault
from atrium.tenants.store import TenantStore

_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class TenantSettings:
    """What there is to set. `version` is the tenant's `config_version`."""

    features: Mapping[str, bool]
    audits_all: bool
    prompt_injection: ScreeningMode
    version: int
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class SettingsService:
    """The settings of one tenant. The scope is checked by the routes."""

    table: TenantTable
    audit: AuditService
    clock: Clock

    def get(self) -> TenantSettings:
        return _read(self._tenant())

    def change(self, changes: Mapping[str, Any]) -> TenantSettings:
        """Change settings; a feature that is not named stays as it is, null removes its switch.

        `ValidationFailed`, or `Conflict` if the tenant changes all the time.
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
        raise Conflict("the tenant was changed by other calls at the same time; try again")

    def _tenant(self) -> Tenant:
        tenant = TenantStore(self.table).get()
        if tenant is None or not tenant.is_visible:
            raise NotFound("there is no such tenant")
        return tenant


def _merge(settings: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    wanted = {**settings, **changes}
    if "features" in changes:
        switches = {**settings.get("features", {}), **changes["features"]}
        wanted["features"] = {name: on for name, on in switches.items() if on is not None}
        fault = find_settings_fault(wanted)
        if fault is not None:
            raise invalid_field("features", fault)
    return wanted


def _read(tenant: Tenant) -> TenantSettings:
    features = dict(sorted(tenant.settings.get("features", {}).items()))
    return TenantSettings(
        features, tenant.audits_all, tenant.prompt_injection, tenant.config_version, tenant.updated_at
    )
