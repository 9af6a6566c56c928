"""All that a deployment keeps: every item of the table and every object of the bucket, compared and put back.

It is read where moto keeps it: a Scan of hundreds of items before and after each call would be most of the time.
"""

import copy
from dataclasses import dataclass, field
from typing import Any

from atrium.storage.blobs import Bucket
from atrium.storage.table import PhysicalTable
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.dynamodb.models import dynamodb_backends

from infra.runtime.resources import REGION


@dataclass(frozen=True)
class State:
    """Items by partition and sort key, as text; objects by name; and what puts the items back."""

    items: dict[tuple[str, str], str]
    objects: dict[str, bytes]
    kept: Any = field(repr=False)

    def changed(self, after: "State") -> list[str]:
        """Return the partitions and objects that are not as they were."""
        items = _changed(self.items, after.items)
        return sorted({partition for partition, _ in items} | _changed(self.objects, after.objects))


def read_state(table: PhysicalTable, bucket: Bucket) -> State:
    kept = copy.deepcopy(_kept(table).items)
    items = {
        (partition.value, sort.value): repr(item.to_json())
        for partition, held in kept.items()
        for sort, item in held.items()
    }
    names = [str(each["Key"]) for each in bucket.client.list_objects_v2(Bucket=bucket.name).get("Contents", [])]
    objects = {name: bucket.client.get_object(Bucket=bucket.name, Key=name)["Body"].read() for name in names}
    return State(items, objects, kept)


def restore(table: PhysicalTable, bucket: Bucket, wanted: State) -> None:
    """Put everything back as it was; what the stream of the table tells meanwhile is forgotten."""
    held = _kept(table)
    held.items = copy.deepcopy(wanted.kept)
    if held.stream_shard is not None:
        held.stream_shard.items = []
    now = read_state(table, bucket)
    for name in now.objects.keys() - wanted.objects.keys():
        bucket.client.delete_object(Bucket=bucket.name, Key=name)
    for name in _changed(wanted.objects, now.objects) & wanted.objects.keys():
        bucket.client.put_object(Bucket=bucket.name, Key=name, Body=wanted.objects[name])


def _kept(table: PhysicalTable) -> Any:
    return dynamodb_backends[DEFAULT_ACCOUNT_ID][REGION].tables[table.name]


def _changed[Place, Value](before: dict[Place, Value], after: dict[Place, Value]) -> set[Place]:
    return {place for place in before.keys() | after.keys() if before.get(place) != after.get(place)}
