"""The erasure of a deleted tenant in a test, and functions that read the remaining data."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from atrium.erasure.service import QUIET_SECONDS, Erasure, ErasureReport
from atrium.kernel.ids import TenantId
from atrium.storage.blobs import Bucket, TenantBlobs
from atrium.storage.table import PhysicalTable, PlatformTable, TenantTable
from atrium.tenants.deletions import OWN_SECONDS
from atrium.tenants.service import TenantService

from tests.builders.runtimes import TurnedClock

type Items = dict[tuple[str, str], dict[str, Any]]


@dataclass
class Erasing:
    """The table, the bucket and the clock of an erasure. `failed` contains the tenants whose steps failed."""

    physical: PhysicalTable
    bucket: Bucket
    clock: TurnedClock
    failed: list[TenantId] = field(default_factory=list)

    @property
    def erasure(self) -> Erasure:
        def table_of(tenant_id: TenantId) -> TenantTable:
            return TenantTable(self.physical, tenant_id)

        platform = PlatformTable(self.physical)
        tenants = TenantService(platform, table_of, self.clock)
        return Erasure(tenants, platform, table_of, lambda each: TenantBlobs(self.bucket, each), self.clock)

    def sweep(self, has_time: Callable[[], bool] = lambda: True) -> ErasureReport:
        """Run the sweeper once."""

        def note(tenant_id: TenantId, _error: Exception) -> None:
            self.failed.append(tenant_id)

        return self.erasure.run(has_time, note)

    def finish(self) -> None:
        """Advance the clock and run the sweeper until the erasures are complete."""
        self.clock.advance(OWN_SECONDS)
        self.sweep()
        self.clock.now += timedelta(seconds=QUIET_SECONDS)
        self.sweep()
        assert self.sweep() == ErasureReport()

    def items(self) -> Items:
        """Return every item of the table."""
        pages = self.physical.client.get_paginator("scan").paginate(TableName=self.physical.name, ConsistentRead=True)
        found = [dict(item) for page in pages for item in page["Items"]]
        return {(item["pk"]["S"], item["sk"]["S"]): item for item in found}

    def items_about(self, text: str) -> Items:
        """Return the items that contain a text in any attribute, including the key."""
        return {place: item for place, item in self.items().items() if text in json.dumps(item, default=repr)}

    def put_back(self, wanted: Items) -> None:
        """Restore the table to these items."""
        now, client, name = self.items(), self.physical.client, self.physical.name
        for pk, sk in now.keys() - wanted.keys():
            client.delete_item(TableName=name, Key={"pk": {"S": pk}, "sk": {"S": sk}})
        for place, item in wanted.items():
            if now.get(place) != item:
                client.put_item(TableName=name, Item=item)

    def blobs(self) -> list[str]:
        """Return the object key of every version and delete marker in the bucket."""
        found = self.bucket.client.list_object_versions(Bucket=self.bucket.name)
        return [each["Key"] for each in [*found.get("Versions", []), *found.get("DeleteMarkers", [])]]


def assert_erased(erasing: Erasing, tenant_id: TenantId) -> dict[str, dict[str, Any]]:
    """Assert that a tenant is erased, and return its monthly totals by month.

    Only the tombstone, the registry entry, the monthly totals and the platform's audit event of the deletion remain.
    """
    left = erasing.items_about(tenant_id)
    own, totals = f"TENANT#{tenant_id}", {}
    for (partition, sort), item in left.items():
        if partition == own and sort.startswith("MONTH_TOTAL#"):
            totals[sort.removeprefix("MONTH_TOTAL#")] = item
        elif (partition, sort) == (own, "TENANT"):
            assert item.keys() <= TOMBSTONE, sorted(item)
        elif (partition, sort) == ("PLATFORM#TENANTS", tenant_id):
            assert item.keys() <= {"pk", "sk", "id", "created_at", "deleted_at"}, sorted(item)
        else:
            assert partition.startswith("PLATFORM#AUDIT#"), (partition, sort)
            assert item["details"]["S"].count("tenant.delete") == 1, item
    assert [blob for blob in erasing.blobs() if tenant_id in blob] == []
    return totals


TOMBSTONE = frozenset({
    "pk", "sk", "id", "plan", "status", "created_at", "deleted_at", "deleted_by", "erased_at", "config_version",
    "token_version",
})  # fmt: skip
