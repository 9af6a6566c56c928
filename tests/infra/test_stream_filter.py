"""The filters of the table's stream accept ledger entries and requested rebuilds."""

import json
from datetime import UTC, datetime

from atrium.kernel.ids import AgentId, RunId, SessionId, TenantId
from atrium.llm.model import Usage
from atrium.quotas.rebuild.store import RebuildStore
from atrium.storage import usage_keys
from atrium.storage.table import PhysicalTable, TenantTable
from atrium.storage.writes import to_wire
from atrium.usage.model import LedgerEntry
from atrium.usage.store import encode_entry

from infra.checks.routes import functions_of
from infra.runtime.template import Document


def _entry() -> LedgerEntry:
    ulid = "01k" + "0" * 23
    return LedgerEntry(
        run_id=RunId(f"run_{ulid}"),
        tenant_id=TenantId(f"ten_{ulid}"),
        at=datetime(2026, 11, 21, tzinfo=UTC),
        agent_id=AgentId(f"agt_{ulid}"),
        principal_id=f"key_{ulid}",
        session_id=SessionId(f"ses_{ulid}"),
        model="model",
        provider="anthropic",
        status="succeeded",
        tokens=Usage(input_tokens=1, output_tokens=2, cache_read_tokens=0, cache_write_tokens=0),
        tool_calls={},
        cost_nanos=3,
        end_user="",
    )


def test_an_entry_of_the_ledger_passes_the_filter(template: Document) -> None:
    source = functions_of(template)["UsageStreamFunction"]["Events"]["TableStream"]["Properties"]
    [pattern] = [json.loads(item["Pattern"]) for item in source["FilterCriteria"]["Filters"]]
    image = to_wire({name: value for name, value in encode_entry(_entry()).items() if value is not None})

    asked = {(name, kind) for name, kinds in pattern["dynamodb"]["NewImage"].items() for kind in kinds}

    assert pattern["eventName"] == ["INSERT"]
    assert asked == {("cost_nanos", "N"), ("principal_id", "S")}
    assert all(kind in image[name] for name, kind in asked)


def test_a_rebuild_that_is_asked_for_passes_its_filter(template: Document, physical_table: PhysicalTable) -> None:
    source = functions_of(template)["RebuildFunction"]["Events"]["TableStream"]["Properties"]
    [pattern] = [json.loads(item["Pattern"]) for item in source["FilterCriteria"]["Filters"]]
    table = TenantTable(physical_table, TenantId("ten_01k" + "0" * 23))
    now = datetime(2026, 11, 21, tzinfo=UTC)
    RebuildStore(table).request(now.date(), by="key_01k", now=now)
    item = table.get(usage_keys.rebuild())
    assert item is not None
    assert pattern["eventName"] == ["INSERT", "MODIFY"]
    assert pattern["dynamodb"] == {
        "Keys": {"sk": {"S": [item["sk"]]}},
        "NewImage": {"status": {"S": [item["status"]]}},
    }
