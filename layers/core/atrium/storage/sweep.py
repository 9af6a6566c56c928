"""Reads the sweep index, a sparse index of the unfinished work of all tenants. Only the sweeper's role may read it."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from atrium.kernel.clock import format_time
from atrium.kernel.ids import RunId, SessionId, TenantId
from atrium.storage.keys import ADMISSION_SWEPT, SWEEP_SHARDS, purge_partition, retention_partition, sweep_partition
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


@dataclass(frozen=True, slots=True)
class DueSession:
    """A session whose time to be removed has come: a deleted session, or the runs of an interrupted fork."""

    tenant_id: TenantId
    session_id: SessionId


type Swept = OpenRun | BusyAdmission


def list_swept(table: PhysicalTable) -> Iterator[Swept]:
    """Yield all entries of the sweep index, shard by shard. The index is eventually consistent."""
    for shard in range(SWEEP_SHARDS):
        yield from map(_read, _query(table, sweep_partition(shard)))


def list_due_sessions(table: PhysicalTable, now: datetime) -> Iterator[DueSession]:
    """Yield the sessions of all tenants whose time to be removed has come, shard by shard."""
    for shard in range(SWEEP_SHARDS):
        for sort in _query(table, purge_partition(shard), before=format_time(now)):
            _, tenant_id, session_id = sort.split("#")
            yield DueSession(TenantId(tenant_id), SessionId(session_id))


def list_retaining(table: PhysicalTable, minute: int) -> Iterator[TenantId]:
    """Yield the tenants whose idle sessions are deleted in this minute of the hour."""
    yield from map(TenantId, _query(table, retention_partition(minute)))


def _query(table: PhysicalTable, partition: str, *, before: str = "~") -> Iterator[str]:
    """Yield the sort keys of a partition that are less than `before`. All sort keys are less than `~`."""
    pages = table.client.get_paginator("query").paginate(
        TableName=table.name,
        IndexName="sweep",
        KeyConditionExpression="sweep_pk = :partition AND sweep_sk < :before",
        ExpressionAttributeValues={":partition": {"S": partition}, ":before": {"S": before}},
    )
    with translated():
        for page in pages:
            yield from (str(item["sweep_sk"]["S"]) for item in page["Items"])


def _read(sort: str) -> Swept:
    tenant_id, _, what = sort.partition("#")
    kind, _, scope_id = what.partition("#")
    if kind == ADMISSION_SWEPT:
        return BusyAdmission(TenantId(tenant_id), "" if scope_id == "TENANT" else scope_id)
    return OpenRun(TenantId(tenant_id), RunId(what))
