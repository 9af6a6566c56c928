"""Stores API keys: a tenant's keys in the tenant's partition, and platform keys in a separate partition."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from atrium.identity.keys.model import ApiKey
from atrium.kernel.clock import format_time, parse_time
from atrium.kernel.errors import ConditionFailed, Conflict
from atrium.kernel.ids import KeyId, TenantId
from atrium.kernel.pagination import Page, PageRequest
from atrium.storage import keys, platform_keys
from atrium.storage.keys import Key
from atrium.storage.table import BoundTable, PlatformTable, Query, TenantTable, TransactionRefused
from atrium.storage.writes import EXISTS, NEW, Delete, Put, Update

USE_NOTED_SECONDS = 60


@dataclass(frozen=True, slots=True)
class KeyStore:
    """Reads and writes the keys of one tenant, or of the platform."""

    table: TenantTable | PlatformTable

    def creation(self, key: ApiKey) -> Put:
        """Return the write that creates a key."""
        return Put(self._place(key.id), _item(key), NEW)

    def create(self, key: ApiKey, *records: Put) -> None:
        """Write a new key. Idempotent. Raises `Conflict` if another key has this id."""
        try:
            self.table.write_audited(self.creation(key), records)
        except ConditionFailed as failed:
            if not failed.item or failed.item.get("digest") != key.digest:
                raise Conflict from failed

    def get(self, key_id: KeyId) -> ApiKey | None:
        item = self.table.get(self._place(key_id))
        return self._read(item) if item else None

    def list(self, page: PageRequest) -> Page[ApiKey]:
        """List the keys, oldest first."""
        query = Query(self._partition, prefix="KEY#", limit=page.limit, position=page.position)
        return self.table.query(query).map(self._read)

    def change(self, key_id: KeyId, changes: Mapping[str, Any], *records: Put, now: datetime) -> ApiKey | None:
        """Change attributes and return the key, or None if the key does not exist.

        The value None removes an attribute.
        """
        present = {name: value for name, value in changes.items() if value is not None}
        present["updated_at"] = format_time(now)
        expression = "SET " + ", ".join(f"#{name} = :{name}" for name in present)
        removed = [f"#{name}" for name, value in changes.items() if value is None]
        if removed:
            expression += " REMOVE " + ", ".join(removed)
        try:
            write = Update(self._place(key_id), expression, EXISTS, present)
            return self._read(self.table.write_audited(write, records))
        except ConditionFailed:
            return None

    def revoke(self, key_id: KeyId, *records: Put, at: datetime, now: datetime) -> ApiKey | None:
        """Set the time when a key is revoked, unless an earlier time is set. Return the key.

        Returns None if the key does not exist.
        """
        try:
            return self._read(self.table.write_audited(self._revocation(key_id, at, now), records))
        except ConditionFailed as failed:
            return self._read(failed.item) if failed.item else None

    def rotate(self, old: ApiKey, new: ApiKey, *records: Put, at: datetime, now: datetime) -> None:
        """Write the new key, and set the time when the old key is revoked, in one transaction.

        Raises `Conflict` if another call revoked or deleted the old key.
        """
        try:
            self.table.transact([self._revocation(old.id, at, now), self.creation(new), *records])
        except TransactionRefused as refused:
            raise Conflict("the key was revoked or deleted by another call") from refused

    def delete(self, key_id: KeyId, *records: Put) -> bool:
        """Delete a key; return False if the key does not exist."""
        try:
            self.table.write_audited(Delete(self._place(key_id), EXISTS), records)
        except ConditionFailed:
            return False
        return True

    def note_use(self, key_id: KeyId, *, now: datetime) -> None:
        """Store the time when a key was last used, at most once a minute."""
        before = format_time(now - timedelta(seconds=USE_NOTED_SECONDS))
        condition = f"{EXISTS} AND (attribute_not_exists(#last_used_at) OR #last_used_at <= :before)"
        values = {"now": format_time(now), "before": before}
        try:
            self.table.write(Update(self._place(key_id), "SET #last_used_at = :now", condition, values))
        except ConditionFailed:
            return

    def _revocation(self, key_id: KeyId, at: datetime, now: datetime) -> Update:
        values = {"at": format_time(at), "now": format_time(now)}
        later = "attribute_not_exists(#revoked_at) OR #revoked_at > :at"
        change = "SET #revoked_at = :at, #updated_at = :now"
        return Update(self._place(key_id), change, f"{EXISTS} AND ({later})", values)

    @property
    def _partition(self) -> str:
        return "" if isinstance(self.table, TenantTable) else "KEYS"

    def _place(self, key_id: KeyId) -> Key:
        return place_key(self.table, key_id)

    def _read(self, item: Mapping[str, Any]) -> ApiKey:
        return read_key(item, self.table.tenant_id if isinstance(self.table, TenantTable) else None)


def place_key(table: BoundTable, key_id: KeyId) -> Key:
    """Return the table key of an API key."""
    return keys.api_key(key_id) if isinstance(table, TenantTable) else platform_keys.platform_key(key_id)


def read_key(item: Mapping[str, Any], tenant_id: TenantId | None) -> ApiKey:
    """Return the API key that is stored in an item. `tenant_id` is None for a platform key."""
    return ApiKey(
        id=KeyId(item["id"]),
        tenant_id=tenant_id,
        name=item["name"],
        scopes=tuple(item["scopes"]),
        prefix=item["prefix"],
        digest=item["digest"],
        pepper_version=item["pepper_version"],
        created_at=parse_time(item["created_at"]),
        updated_at=parse_time(item["updated_at"]),
        created_by=item.get("created_by", ""),
        expires_at=_time(item, "expires_at"),
        revoked_at=_time(item, "revoked_at"),
        last_used_at=_time(item, "last_used_at"),
        first_id=KeyId(item["first_id"]) if "first_id" in item else None,
        limits=item.get("limits", {}),
    )


def _item(key: ApiKey) -> dict[str, Any]:
    return {
        "id": key.id,
        "name": key.name,
        "scopes": list(key.scopes),
        "prefix": key.prefix,
        "digest": key.digest,
        "pepper_version": key.pepper_version,
        "created_at": format_time(key.created_at),
        "updated_at": format_time(key.updated_at),
        "created_by": key.created_by or None,
        "first_id": key.first_id,
        "expires_at": format_time(key.expires_at) if key.expires_at else None,
        "limits": dict(key.limits) or None,
    }


def _time(item: Mapping[str, Any], name: str) -> datetime | None:
    return parse_time(item[name]) if item.get(name) else None
