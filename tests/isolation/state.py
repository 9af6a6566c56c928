"""The state of a deployment: every item of the table and every object of the bucket.

A state can be compared with another one, and restored. It is read from moto's memory, because a Scan before and after
each request would take most of the time.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from operator import ne
from typing import Any

from atrium.storage.blobs import Bucket
from atrium.storage.table import PhysicalTable
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.dynamodb.models import dynamodb_backends
from moto.dynamodb.models.dynamo_type import Item
from moto.dynamodb.models.table import Table
from moto.s3.models import s3_backends

from infra.runtime.resources import REGION
from tests.builders.quick_moto import Items, copy_items


@dataclass(frozen=True)
class State:
    """The items by partition and sort key, the objects by name, and moto's items for `restore`."""

    items: dict[tuple[str, str], Item]
    objects: dict[str, bytes]
    kept: Items = field(repr=False)

    def changed(self, after: "State") -> list[str]:
        """Return the partitions and object names that differ between this state and a later one."""
        items = _changed(self.items, after.items, _differ)
        return sorted({partition for partition, _ in items} | _changed(self.objects, after.objects))


def read_state(table: PhysicalTable, bucket: Bucket) -> State:
    kept = copy_items(_kept(table))
    items = {
        (str(partition.value), str(sort.value)): item for partition, held in kept.items() for sort, item in held.items()
    }
    stored = s3_backends[DEFAULT_ACCOUNT_ID]["aws"].buckets[bucket.name].keys
    return State(items, {str(name): key.value for name, key in stored.items()}, kept)


def restore(table: PhysicalTable, bucket: Bucket, wanted: State) -> None:
    held = _kept(table)
    held.items = wanted.kept
    held.items = copy_items(held)
    now = read_state(table, bucket)
    for name in now.objects.keys() - wanted.objects.keys():
        bucket.client.delete_object(Bucket=bucket.name, Key=name)
    for name in _changed(wanted.objects, now.objects) & wanted.objects.keys():
        bucket.client.put_object(Bucket=bucket.name, Key=name, Body=wanted.objects[name])


def _kept(table: PhysicalTable) -> Table:
    return dynamodb_backends[DEFAULT_ACCOUNT_ID][REGION].tables[table.name]


def _differ(before: Item | None, after: Item | None) -> bool:
    """Return whether an item was added, changed or deleted. An item that was not written is the same object."""
    return before is not after and (before is None or after is None or before.to_json() != after.to_json())


def _changed[Place, Value](
    before: dict[Place, Value], after: dict[Place, Value], differ: Callable[[Any, Any], bool] = ne
) -> set[Place]:
    return {place for place in before.keys() | after.keys() if differ(before.get(place), after.get(place))}
