"""Rebuild of a tenant's counters, requested over HTTP and executed by the function that reads the table's stream."""

from dataclasses import replace
from typing import Any

import pytest
from atrium.kernel.ids import TenantId
from atrium.llm.model import Usage
from atrium.quotas.rebuild.store import RebuildStore
from atrium.storage import usage_keys
from atrium.storage.table import Query, TenantTable
from atrium.storage.writes import to_wire
from atrium.usage.store import LedgerStore
from starlette.testclient import TestClient

from functions.events.drift import RESERVE_MS, compare_counters
from functions.events.rebuild import run_rebuilds
from functions.platform.app import build
from functions.usage.app import build as build_usage
from tests.builders.deployments import Deployment
from tests.builders.gateway import call_as, tenant_fields
from tests.builders.ledger import build_entry, table_record


@pytest.fixture
def tenant(client: TestClient) -> TenantId:
    return TenantId(client.post("/v1/tenants", json={"name": "acme", "plan": "pro"}).json()["id"])


def settle(deployment: Deployment, tenant: TenantId) -> TenantTable:
    """Write the ledger entry of a settled call that is not in the usage aggregates or the counters."""
    table = deployment.runtime.tenant_table(tenant)
    now = deployment.clock()
    entry = build_entry(at=now, started_at=now, tenant_id=tenant, tokens=Usage(70, 7), cost_nanos=5_000)
    assert LedgerStore(table).put(replace(entry, admitted={"": int(now.timestamp()) - 1}))
    return table


def path(tenant: str) -> str:
    return f"/v1/tenants/{tenant}/rebuild-counters"


def stream(deployment: Deployment, tenant: TenantId) -> dict[str, int]:
    """Deliver the change of the rebuild item to the function, as the table's stream does. Return the counts."""
    item = deployment.runtime.tenant_table(tenant).get(usage_keys.rebuild())
    assert item is not None
    record = table_record(f"TENANT#{tenant}", "REBUILD", 1, image=to_wire({**item, "pk": "x", "sk": "x"}))
    return run_rebuilds(deployment.runtime, {"Records": [record]})


def test_asked_for_run_and_read(client: TestClient, deployment: Deployment, tenant: TenantId) -> None:
    settle(deployment, tenant)
    asked = client.post(path(tenant))
    assert (asked.status_code, asked.json()["status"], asked.json()["report"]) == (202, "queued", None)
    assert asked.headers["location"].endswith(path(tenant))

    assert stream(deployment, tenant) == {"rebuilt": 1}

    rebuild: dict[str, Any] = client.get(path(tenant)).json()["rebuild"]
    assert (rebuild["id"], rebuild["status"]) == (asked.json()["id"], "succeeded")
    report = rebuild["report"]
    assert (report["entries"], report["counted"], report["uncounted"]) == (1, 1, 0)
    assert [(each["limit"], each["stored"], each["expected"]) for each in report["counters"]] == [
        ("cost_per_month", "0.000000", "0.000005"),
        ("requests_per_day", 0, 1),
        ("tokens_per_month", 0, 77),
    ]
    usage = call_as(build_usage(lambda: deployment.runtime), tenant_fields(tenant_id=tenant)).get("/v1/usage").json()
    assert (usage["totals"]["requests"], usage["totals"]["input_tokens"]) == (1, 70)


def test_delivered_again_nothing_is_done_again(client: TestClient, deployment: Deployment, tenant: TenantId) -> None:
    settle(deployment, tenant)
    client.post(path(tenant))
    stream(deployment, tenant)
    done = client.get(path(tenant)).json()
    table = deployment.runtime.tenant_table(tenant)
    item = {**(table.get(usage_keys.rebuild()) or {}), "status": "queued", "pk": "x", "sk": "x"}
    late = table_record(f"TENANT#{tenant}", "REBUILD", 1, image=to_wire(item))
    assert run_rebuilds(deployment.runtime, {"Records": [late]}) == {"rebuilt": 0}
    assert client.get(path(tenant)).json() == done


def test_one_at_a_time(client: TestClient, deployment: Deployment, tenant: TenantId) -> None:
    first, second = client.post(path(tenant)).json(), client.post(path(tenant), json={"month": "2026-10"}).json()
    assert second["id"] == first["id"]
    stream(deployment, tenant)
    third = client.post(path(tenant), json={"month": "2026-10"}).json()
    assert (third["id"] != first["id"], third["month"], third["status"]) == (True, "2026-10", "queued")


def test_a_dead_one_is_told_and_replaced(client: TestClient, deployment: Deployment, tenant: TenantId) -> None:
    first = client.post(path(tenant)).json()
    assert RebuildStore(deployment.runtime.tenant_table(tenant)).claim(first["id"], now=deployment.clock())
    deployment.clock.advance(1_201)
    assert client.get(path(tenant)).json()["rebuild"]["status"] == "failed"
    assert client.post(path(tenant)).json()["id"] != first["id"]


def test_it_is_in_the_tenants_audit(client: TestClient, deployment: Deployment, tenant: TenantId) -> None:
    client.post(path(tenant))
    found = deployment.runtime.tenant_table(tenant).query(Query(f"AUDIT#{deployment.clock():%Y-%m-%d}"))
    assert [item["details"] for item in found.items if "rebuild_counters" in str(item["details"])]


def test_never_asked_for(client: TestClient, tenant: TenantId) -> None:
    assert client.get(path(tenant)).json() == {"rebuild": None, "drift": None}


def test_an_unknown_tenant_and_months_that_are_none(client: TestClient, tenant: TenantId) -> None:
    unknown = "ten_01k6r5m2x8f3v9q4w7t1y0z5zz"
    assert client.post(path(unknown)).status_code == client.get(path(unknown)).status_code == 404
    for month in ("2026-13", "2026", "2126-01", "2026-12", 202611, None):
        answer = client.post(path(tenant), json={"month": month})
        assert (answer.status_code, answer.json()["code"]) == (422, "VALIDATION_FAILED"), month
    assert client.get(path(tenant)).json()["rebuild"] is None


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_no_tenants_credential_may(deployment: Deployment, tenant: TenantId, method: str) -> None:
    own = call_as(build(lambda: deployment.runtime), tenant_fields(tenant_id=tenant, scopes="admin chat"))
    answer = own.request(method, path(tenant))
    assert (answer.status_code, answer.json()["code"]) == (403, "SCOPE_REQUIRED")
    anonymous = call_as(build(lambda: deployment.runtime), None).request(method, path(tenant))
    assert anonymous.status_code == 401


def test_the_daily_round_meets_each_tenant_once_and_keeps_what_it_found(
    client: TestClient, deployment: Deployment, tenant: TenantId, capsys: pytest.CaptureFixture[str]
) -> None:
    settle(deployment, tenant)
    other = client.post("/v1/tenants", json={"name": "globex", "plan": "free"}).json()["id"]
    deployment.clock.advance(1_000)
    assert compare_counters(deployment.runtime, lambda: RESERVE_MS) == {
        "tenants": 0,
        "faults": 0,
        "uncounted": 0,
        "failed": 0,
    }
    calls = iter([RESERVE_MS + 1, RESERVE_MS])
    first = compare_counters(deployment.runtime, lambda: next(calls))
    rest = compare_counters(deployment.runtime, lambda: RESERVE_MS + 1)
    assert first["tenants"] == 1
    assert (first["tenants"] + rest["tenants"], first["faults"] + rest["faults"]) == (2, 3)
    assert first["uncounted"] + rest["uncounted"] == 1
    assert compare_counters(deployment.runtime, lambda: RESERVE_MS + 1)["tenants"] == 0

    drift = client.get(path(tenant)).json()["drift"]
    assert (drift["faults"], drift["uncounted"], drift["entries"]) == (3, 1, 1)
    assert client.get(path(other)).json()["drift"]["faults"] == 0
    told = capsys.readouterr().out
    assert '"CounterFaults":[3' in told.replace(" ", "")

    client.post(path(tenant))
    stream(deployment, tenant)
    deployment.clock.advance(86_400)
    assert compare_counters(deployment.runtime, lambda: RESERVE_MS + 1) == {
        "tenants": 2,
        "faults": 0,
        "uncounted": 0,
        "failed": 0,
    }
