"""Stores the tenant's item in the tenant's partition. The item is authoritative.

Settings and metadata are stored as JSON text, because an item cannot contain floats. Each change increments
`config_version`, which invalidates caches. A deleted tenant's item remains as a tombstone, so that its id is never
reused. A tombstone has no name, settings or metadata.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from atrium.kernel.clock import format_time, parse_time
from atrium.kernel.errors import ConditionFailed
from atrium.kernel.ids import AgentId, TenantId
from atrium.storage import keys
from atrium.storage.table import TenantTable
from atrium.storage.writes import EXISTS, NEW, Check, Put, Update
from atrium.tenants.model import Tenant, TenantStatus

_VISIBLE = f"{EXISTS} AND #status <> :deleted AND attribute_not_exists(#opening)"
_RAISE = "#config_version = #config_version + :one"
RAISE_VERSION = Update(keys.tenant(), f"SET {_RAISE}", EXISTS, {"one": 1})
"""The write that increments `config_version`, for the transaction of a change."""
_JSON = frozenset({"settings", "metadata"})


@dataclass(frozen=True, slots=True)
class TenantStore:
    """Reads and writes the item of one tenant."""

    table: TenantTable

    def get(self) -> Tenant | None:
        """Return the tenant, even if it is deleted or its creation is incomplete. Return None if there is no item."""
        item = self.table.get(keys.tenant())
        return read_tenant(item) if item else None

    def open(self, tenant: Tenant) -> Tenant:
        """Start or take over the creation of a tenant with the mark `opening`, and return the tenant.

        After this call, an earlier creation of the same tenant can no longer be closed. Raises `ConditionFailed` if the
        creation of the tenant is already complete.
        """
        values: dict[str, Any] = {
            **_attributes(tenant),
            **self._retention(tenant.settings),
            "opening": tenant.opening,
            "none": 0,
            "one": 1,
        }
        expression = "SET " + ", ".join(f"#{name} = :{name}" for name in values if name not in {"none", "one"})
        expression += ", #config_version = if_not_exists(#config_version, :none) + :one"
        return read_tenant(
            self.table.write(Update(keys.tenant(), expression, f"{NEW} OR attribute_exists(#opening)", values))
        )

    def closing(self, opening: str) -> Update:
        """Return the write that completes a creation, for a transaction."""
        return Update(keys.tenant(), "REMOVE #opening", "#opening = :opening", {"opening": opening})

    def change(self, changes: Mapping[str, Any], *records: Put, now: datetime) -> Tenant:
        """Set attributes of the tenant; raise `ConditionFailed` if the tenant does not exist."""
        return read_tenant(self.table.write_audited(self._change(changes, now, _VISIBLE, {}), records))

    def changing(self, changes: Mapping[str, Any], *, now: datetime, version: int) -> Update:
        """Return the write that sets attributes if `config_version` equals `version`, for a transaction."""
        return self._change(changes, now, f"{_VISIBLE} AND #config_version = :version", {"version": version})

    def rename(self, changes: Mapping[str, Any], *records: Put, now: datetime, version: int) -> Tenant:
        """Set attributes, including the name; raise `ConditionFailed` if `config_version` is not equal to `version`."""
        try:
            return read_tenant(self.table.write_audited(self.changing(changes, now=now, version=version), records))
        except ConditionFailed as error:
            found = read_tenant(error.item) if error.item else None
            if found and found.is_visible and (found.name, found.config_version) == (changes["name"], version + 1):
                # An earlier attempt of this write succeeded and its response was lost. No other tenant claims the name.
                return found
            raise

    def set_status(self, status: TenantStatus, reason: str, *records: Put, now: datetime) -> Tenant:
        """Set the status. Idempotent. An empty reason does not change the reason of a suspension.

        Raises `ConditionFailed` if the tenant does not exist.
        """
        kept = status == "suspended" and not reason
        changes = {"status": status} if kept else {"status": status, "status_reason": reason}
        return self.change(changes, *records, now=now)

    def ending_tokens(self, *, now: datetime) -> Update:
        """Return the write that invalidates all access and refresh tokens of the tenant, for a transaction."""
        return self._change({"logins_ended_at": format_time(now)}, now, _VISIBLE, {}, raised="token_version")

    def mark_deleted(self, *, by: str, now: datetime) -> None:
        """Set the status to deleted. Idempotent."""
        changes = {"status": "deleted", "status_reason": "", "deleted_at": format_time(now), "deleted_by": by}
        self.table.write(self._change(changes, now, f"{EXISTS} AND attribute_not_exists(#opening)", {}))

    def leave_tombstone(self, tenant: Tenant, *, erased_at: datetime | None = None) -> None:
        """Replace the item of a deleted tenant with its tombstone. Idempotent."""
        item = {
            "id": tenant.id,
            "plan": tenant.plan,
            "status": "deleted",
            "created_at": format_time(tenant.created_at),
            "deleted_at": format_time(tenant.deleted_at or tenant.updated_at),
            "deleted_by": tenant.deleted_by or None,
            "erased_at": format_time(erased_at) if erased_at else None,
            "config_version": tenant.config_version + 1,
            "token_version": tenant.token_version,
        }
        self.table.write(Put(keys.tenant(), item, "#status = :deleted", {"deleted": "deleted"}))

    def fence(self, version: int) -> bool:
        """Increment `config_version` if it is equal to `version`, so that changes that are based on earlier reads fail.

        Returns False if `config_version` has another value.
        """
        try:
            values = {"one": 1, "version": version}
            self.table.write(Update(keys.tenant(), f"SET {_RAISE}", "#config_version = :version", values))
        except ConditionFailed:
            return False
        return True

    def _change(
        self,
        changes: Mapping[str, Any],
        now: datetime,
        condition: str,
        extra: Mapping[str, Any],
        *,
        raised: str = "",
    ) -> Update:
        values = {name: json.dumps(value) if name in _JSON else value for name, value in changes.items()}
        listed = self._retention(changes.get("settings", {}))
        values |= {"updated_at": format_time(now), **listed}
        expression = "SET " + ", ".join([*(f"#{name} = :{name}" for name in values), _RAISE])
        if raised:
            expression += f", #{raised} = #{raised} + :one"
        if "settings" in changes and not listed:
            expression += " REMOVE #sweep_pk, #sweep_sk"
        needed = {"deleted": "deleted"} if ":deleted" in condition else {}
        return Update(keys.tenant(), expression, condition, {**values, **needed, **extra, "one": 1})

    def _retention(self, settings: Mapping[str, Any]) -> dict[str, str]:
        """Return the keys of the sweep index for a tenant that deletes idle sessions."""
        if settings.get("session_retention_days") is None:
            return {}
        tenant_id = self.table.tenant_id
        partition = keys.retention_partition(keys.retention_minute(tenant_id))
        return {"sweep_pk": partition, "sweep_sk": tenant_id}


def not_deleted() -> Check:
    """Return the condition check that the tenant is not deleted.

    A transaction must include the check if it claims something that a tenant deletion releases, such as an issuer.
    """
    return Check(keys.tenant(), "NOT #status = :deleted", {"deleted": "deleted"})


def _attributes(tenant: Tenant) -> dict[str, Any]:
    return {
        "id": tenant.id,
        "name": tenant.name,
        "display_name": tenant.display_name,
        "plan": tenant.plan,
        "status": tenant.status,
        "status_reason": tenant.status_reason,
        "settings": json.dumps(dict(tenant.settings)),
        "metadata": json.dumps(dict(tenant.metadata)),
        "token_version": tenant.token_version,
        "created_at": format_time(tenant.created_at),
        "updated_at": format_time(tenant.updated_at),
    }


def read_tenant(item: Mapping[str, Any]) -> Tenant:
    """Return the tenant that is stored in an item."""
    default_agent_id = item.get("default_agent_id")
    return Tenant(
        id=TenantId(item["id"]),
        name=item.get("name", ""),
        display_name=item.get("display_name", ""),
        plan=item["plan"],
        status=item["status"],
        status_reason=item.get("status_reason", ""),
        settings=json.loads(item.get("settings", "{}")),
        metadata=json.loads(item.get("metadata", "{}")),
        config_version=item["config_version"],
        token_version=item["token_version"],
        logins_ended_at=_time(item, "logins_ended_at"),
        created_at=parse_time(item["created_at"]),
        updated_at=parse_time(item.get("updated_at") or item["deleted_at"]),
        default_agent_id=AgentId(default_agent_id) if default_agent_id else None,
        opening=item.get("opening", ""),
        limits=item.get("limits", {}),
        own_model_keys=frozenset(item.get("model_keys", ())),
        deleted_at=_time(item, "deleted_at"),
        deleted_by=item.get("deleted_by", ""),
        erased_at=_time(item, "erased_at"),
    )


def _time(item: Mapping[str, Any], name: str) -> datetime | None:
    return parse_time(item[name]) if item.get(name) else None
