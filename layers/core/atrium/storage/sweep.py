"""Reads the sweep index, a sparse index of the unfinished work of all tenants. Only the sweeper's role may read it."""

from collections.abc import Iterator
from dataclasses import dataclass

from atrium.kernel.ids import RunId, TenantId
from atrium.storage.keys import ADMISSION_SWEPT, SWEEP_SHARDS, sweep_partition
from atrium.storage.table import PhysicalTable, translated


@dataclass(frozen=True, slots=True)
class OpenRun:
    """An open run that was found in the sweep index."""

    tenant_id: TenantId
    run_id: RunId


@dataclass(frozen=True, slots=True)
class BusyAdmission:
    """The admission item of a scope that has or had slots. An empty `scope_id` means the tenant."""

    tenant_id: TenantId
    scope_id: str


type Swept = OpenRun | BusyAdmission


def list_swept(table: PhysicalTable) -> Iterator[Swept]:
    """Yield all entries of the sweep index, shard by shard. The index is eventually consistent."""
    for shard in range(SWEEP_SHARDS):
        pages = table.client.get_paginator("query").paginate(
            TableName=table.name,
            IndexName="sweep",
            KeyConditionExpression="sweep_pk = :shard",
            ExpressionAttributeValues={":shard": {"S": sweep_partition(shard)}},
        )
        with translated():
            for page in pages:
                for item in page["Items"]:
                    yield _read(str(item["sweep_sk"]["S"]))


def _read(sort: str) -> Swept:
    tenant_id, _, what = sort.partition("#")
    kind, _, scope_id = what.partition("#")
    if kind == ADMISSION_SWEPT:
        return BusyAdmission(TenantId(tenant_id), "" if scope_id == "TENANT" else scope_id)
    return OpenRun(TenantId(tenant_id), RunId(what))
