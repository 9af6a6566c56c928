"""Stores OAuth clients in the partition of their tenant."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from atrium.identity.clients.model import Client
from atrium.kernel.clock import format_time, parse_time
from atrium.kernel.ids import ClientId, TenantId
from atrium.kernel.pagination import Page, PageRequest
from atrium.storage import keys
from atrium.storage.table import Query, TenantTable, TransactionRefused
from atrium.storage.writes import EXISTS, NEW, Delete, Operation, Put

_UNCHANGED = f"{EXISTS} AND #updated_at = :seen"


@dataclass(frozen=True, slots=True)
class ClientStore:
    """Reads and writes the clients of one tenant. Each change and its audit event are written in one transaction."""

    table: TenantTable

    def get(self, client_id: ClientId) -> Client | None:
        item = self.table.get(keys.client(client_id))
        return read_client(item, self.table.tenant_id) if item else None

    def list(self, page: PageRequest) -> Page[Client]:
        """List the clients, oldest first."""
        query = Query("", prefix="CLIENT#", limit=page.limit, position=page.position)
        return self.table.query(query).map(lambda item: read_client(item, self.table.tenant_id))

    def create(self, client: Client, also: Sequence[Operation]) -> None:
        self.table.transact([Put(keys.client(client.id), _item(client), NEW), *also])

    def replace(self, before: Client, after: Client, also: Sequence[Operation]) -> bool:
        """Replace a client; return False if the client was changed or deleted after `before` was read."""
        put = Put(keys.client(after.id), _item(after), _UNCHANGED, {"seen": format_time(before.updated_at)})
        return self._transact([put, *also])

    def delete(self, client_id: ClientId, also: Sequence[Operation]) -> bool:
        """Delete a client; return False if the client does not exist."""
        return self._transact([Delete(keys.client(client_id), EXISTS), *also])

    def _transact(self, operations: Sequence[Operation]) -> bool:
        try:
            self.table.transact(operations)
        except TransactionRefused:
            return False
        return True


def read_client(item: Mapping[str, Any], tenant_id: TenantId) -> Client:
    """Return the client that is stored in an item of the tenant's partition."""
    return Client(
        id=ClientId(item["id"]),
        tenant_id=tenant_id,
        name=item["name"],
        type=item["type"],
        redirect_uris=tuple(item["redirect_uris"]),
        grant_types=tuple(item["grant_types"]),
        scopes=tuple(item["scopes"]),
        created_at=parse_time(item["created_at"]),
        updated_at=parse_time(item["updated_at"]),
        created_by=item.get("created_by", ""),
        digest=item.get("digest", b""),
        pepper_version=item.get("pepper_version", 0),
        old_digest=item.get("old_digest", b""),
        old_pepper_version=item.get("old_pepper_version", 0),
        old_ends_at=parse_time(item["old_ends_at"]) if item.get("old_ends_at") else None,
    )


def _item(client: Client) -> dict[str, Any]:
    return {
        "id": client.id,
        "name": client.name,
        "type": client.type,
        "redirect_uris": list(client.redirect_uris),
        "grant_types": list(client.grant_types),
        "scopes": list(client.scopes),
        "created_at": format_time(client.created_at),
        "updated_at": format_time(client.updated_at),
        "created_by": client.created_by or None,
        "digest": client.digest or None,
        "pepper_version": client.pepper_version or None,
        "old_digest": client.old_digest or None,
        "old_pepper_version": client.old_pepper_version or None,
        "old_ends_at": format_time(client.old_ends_at) if client.old_ends_at else None,
    }
