"""Parses records of the table's stream into tenant-relative changes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from atrium.kernel.ids import TenantId, is_id
from atrium.storage.keys import Key
from atrium.storage.writes import from_wire

type ChangeKind = Literal["INSERT", "MODIFY", "REMOVE"]

_TENANT = "TENANT"


@dataclass(frozen=True, slots=True)
class ItemChange:
    """One record of the stream. `sequence` is unique. It can be compared only with records of the same shard."""

    tenant_id: TenantId
    key: Key
    kind: ChangeKind
    sequence: str
    image: Mapping[str, Any]

    def item(self) -> dict[str, Any]:
        """Return the item after the change, with its keys. The result is empty after a deletion."""
        return from_wire(self.image)


def read_change(record: Mapping[str, Any]) -> ItemChange | None:
    """Parse a record; return None if the item belongs to no tenant."""
    change = record["dynamodb"]
    partition, sort = change["Keys"]["pk"]["S"], change["Keys"]["sk"]["S"]
    owner, _, rest = partition.partition("#")
    tenant_id, _, relative = rest.partition("#")
    if owner != _TENANT or not is_id(tenant_id, "ten"):
        return None
    return ItemChange(
        tenant_id=TenantId(tenant_id),
        key=Key(relative, sort),
        kind=record["eventName"],
        sequence=change["SequenceNumber"],
        image=change.get("NewImage", {}),
    )
