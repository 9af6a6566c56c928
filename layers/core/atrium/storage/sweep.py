"""The sparse index of open runs: the one list that crosses tenants, for the sweeper alone."""

from collections.abc import Iterator

from atrium.kernel.ids import RunId, TenantId
from atrium.storage.failures import translated
from atrium.storage.keys import SWEEP_SHARDS, sweep_partition
from atrium.storage.table import PhysicalTable


def list_open_runs(table: PhysicalTable) -> Iterator[tuple[TenantId, RunId]]:
    """Yield every run that is marked open, shard by shard; reads are eventually consistent."""
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
                    tenant_id, _, run_id = str(item["sweep_sk"]["S"]).partition("#")
                    yield TenantId(tenant_id), RunId(run_id)
