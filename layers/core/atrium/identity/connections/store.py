"""Stores connections. A refresh acquires a lease, and only the holder of the lease can write the new tokens."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from atrium.identity.connections.model import Connection
from atrium.kernel.clock import format_time, parse_time
from atrium.kernel.errors import ConditionFailed
from atrium.kernel.pagination import Page, PageRequest
from atrium.storage import provider_keys
from atrium.storage.table import Query, TenantTable, TransactionRefused
from atrium.storage.writes import ANY, EXISTS, Delete, Put, Update

# Longer than the longest call to a provider, so the call that held an expired lease has ended.
LEASE_SECONDS = 30


@dataclass(frozen=True, slots=True)
class ConnectionStore:
    """Reads and writes the connections of one tenant."""

    table: TenantTable

    def put(self, connection: Connection, record: Put) -> None:
        """Write a connection. It replaces an existing connection of the same owner and provider.

        If a refresh of the replaced connection is running, the tokens of this refresh are not stored.
        """
        key = provider_keys.connection(connection.owner, connection.provider)
        self.table.transact([Put(key, _item(connection), ANY), record])

    def get(self, owner: str, provider: str) -> Connection | None:
        item = self.table.get(provider_keys.connection(owner, provider))
        return read_connection(item) if item else None

    def list(self, owner: str, page: PageRequest) -> Page[Connection]:
        """List the connections of a principal, sorted by provider."""
        prefix = provider_keys.connections_of(owner)
        return self.table.query(Query("", prefix=prefix, limit=page.limit, position=page.position)).map(read_connection)

    def delete(self, connection: Connection, record: Put) -> bool:
        """Delete a connection; return False if the connection does not exist."""
        key = provider_keys.connection(connection.owner, connection.provider)
        try:
            self.table.transact([Delete(key, EXISTS), record])
        except TransactionRefused:
            return False
        return True

    def lease(self, connection: Connection, *, now: datetime) -> Connection | None:
        """Acquire the lease for a refresh of the tokens, and return the connection with the lease.

        Returns None if another call holds the lease, or if the connection has changed since it was read.
        """
        values = {
            "lease": secrets.token_hex(8),
            "until": format_time(now + timedelta(seconds=LEASE_SECONDS)),
            "now": format_time(now),
            "version": connection.version,
            "begun": format_time(connection.created_at),
            "active": "active",
        }
        unleased = "(attribute_not_exists(#lease) OR #leased_until <= :now)"
        condition = f"#version = :version AND #created_at = :begun AND #status = :active AND {unleased}"
        return self._update(connection, "SET #lease = :lease, #leased_until = :until", condition, values)

    def rotate(
        self, held: Connection, access: bytes, refresh: bytes, expires_at: datetime | None, *, now: datetime
    ) -> Connection | None:
        """Write the new tokens and release the lease. Return None if `held` no longer has the lease."""
        values: dict[str, Any] = {
            "access": access,
            "refresh": refresh,
            "lease": held.lease,
            "one": 1,
            "now": format_time(now),
        }
        expression = (
            "SET #sealed_access = :access, #sealed_refresh = :refresh, #version = #version + :one, #updated_at = :now"
        )
        removed = "#lease, #leased_until"
        if expires_at is not None:
            values["ends"] = format_time(expires_at)
            expression += ", #expires_at = :ends"
        else:
            removed += ", #expires_at"
        key = provider_keys.connection(held.owner, held.provider)
        try:
            write = Update(key, f"{expression} REMOVE {removed}", "#lease = :lease", values)
            return read_connection(self.table.write(write))
        except ConditionFailed as failed:
            found = read_connection(failed.item) if failed.item else None
            # The ciphertext is unique. If it is stored, an earlier attempt succeeded and its response was lost.
            return found if found is not None and found.sealed_access == access else None

    def expire(self, held: Connection, *, now: datetime) -> None:
        """Mark a connection as expired, delete its refresh token, and release the lease."""
        values = {"expired": "expired", "lease": held.lease, "now": format_time(now)}
        expression = "SET #status = :expired, #updated_at = :now REMOVE #lease, #leased_until, #sealed_refresh"
        self._update(held, expression, "#lease = :lease", values)

    def release(self, held: Connection) -> None:
        """Release the lease after a refresh that may be retried."""
        self._update(held, "REMOVE #lease, #leased_until", "#lease = :lease", {"lease": held.lease})

    def _update(
        self, connection: Connection, expression: str, condition: str, values: Mapping[str, Any]
    ) -> Connection | None:
        key = provider_keys.connection(connection.owner, connection.provider)
        try:
            return read_connection(self.table.write(Update(key, expression, condition, values)))
        except ConditionFailed:
            return None


def _item(connection: Connection) -> dict[str, Any]:
    return {
        "owner": connection.owner,
        "provider": connection.provider,
        "scopes": list(connection.scopes),
        "status": connection.status,
        "sealed_access": connection.sealed_access,
        "sealed_refresh": connection.sealed_refresh or None,
        "expires_at": format_time(connection.expires_at) if connection.expires_at else None,
        "version": connection.version,
        "created_at": format_time(connection.created_at),
        "updated_at": format_time(connection.updated_at),
    }


def read_connection(item: Mapping[str, Any]) -> Connection:
    """Return the connection that is stored in an item."""
    return Connection(
        owner=item["owner"],
        provider=item["provider"],
        scopes=tuple(item["scopes"]),
        status=item["status"],
        sealed_access=item["sealed_access"],
        sealed_refresh=item.get("sealed_refresh", b""),
        expires_at=_time(item, "expires_at"),
        version=item["version"],
        lease=item.get("lease", ""),
        leased_until=_time(item, "leased_until"),
        created_at=parse_time(item["created_at"]),
        updated_at=parse_time(item["updated_at"]),
    )


def _time(item: Mapping[str, Any], name: str) -> datetime | None:
    return parse_time(item[name]) if item.get(name) else None
