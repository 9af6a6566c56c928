"""Parses records of the table's stream into changes whose keys are relative to the tenant."""

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
    """The change of one item, read from a record of the stream.

    `sequence` is unique. Two sequence numbers can be compared only if their records are in the same shard.
    """

    tenant_id: TenantId
    key: Key
    kind: ChangeKind
    sequence: str
    image: Mapping[str, Any]

    def item(self) -> dict[str, Any]:
        """Return the item after the change, including its key attributes. Return an empty mapping for a deletion."""
        return from_wire(self.image)


def read_change(record: Mapping[str, Any]) -> ItemChange | None:
    """Parse a stream record; return None if the item does not belong to a tenant."""
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
