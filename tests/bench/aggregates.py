"""Measurements of the cost of usage aggregates, for settled runs of one tenant and of a thousand tenants."""

from atrium.bootstrap import Runtime
from atrium.kernel.clock import read_clock
from atrium.kernel.ids import mint_session_id, mint_tenant_id
from atrium.settings import Settings
from atrium.storage.table import PhysicalTable, TenantTable
from atrium.usage.store import LedgerStore

from functions.events.usage_stream import count_changes
from tests.bench.measuring import Figures, consuming
from tests.builders.ledger import build_entry, stream_record

ENTRIES = 1_000
BATCH = 100
"""Number of stream records in one batch, as in template.yaml."""


def measure_aggregates(physical: PhysicalTable) -> dict[str, Figures]:
    """Return the measurements by number of tenants."""
    return {f"{tenants} tenants": _measure(physical, tenants) for tenants in (1, ENTRIES)}


def _measure(physical: PhysicalTable, tenants: int) -> Figures:
    runtime = Runtime(Settings.read({"TABLE_NAME": physical.name, "CORS_ORIGINS": "*"}))
    runtime.__dict__["table"] = physical
    now = read_clock()
    ids = [mint_tenant_id(now) for _ in range(tenants)]
    records = []
    for number in range(ENTRIES if tenants > 1 else ENTRIES // 4):
        tenant = ids[number % tenants]
        entry = build_entry(at=now, tenant_id=tenant, session_id=mint_session_id(now))
        LedgerStore(TenantTable(physical, tenant)).put(entry)
        records.append(stream_record(entry, number))
    with consuming(physical) as consumed:
        for at in range(0, len(records), BATCH):
            answer = count_changes(runtime, {"Records": records[at : at + BATCH]})
            assert not answer["batchItemFailures"], answer
    return {
        "turns": len(records),
        "write_units_per_turn": round(consumed.units(reads=False) / len(records), 2),
        "read_units_per_turn": round(consumed.units(reads=True) / len(records), 2),
        "calls_per_turn": round(len(consumed.noted) / len(records), 3),
    }
