"""A tenant on the free plan, with clients for the tenant and the operator, and with the tenant's table."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
from atrium.kernel.ids import TenantId
from atrium.quotas.limits import show_limit
from atrium.storage import keys
from atrium.storage.table import PhysicalTable, TenantTable
from atrium.usage.model import LedgerEntry
from atrium.usage.store import LedgerStore

from infra.runtime.resources import Endpoint
from tests.e2e.conftest import Stack

PASSWORD = "correct horse battery staple"


@dataclass(frozen=True)
class Limited:
    """The tenant's client, the operator's client, and the tenant's table."""

    id: str
    key: str
    http: httpx.Client
    operator: httpx.Client
    table: TenantTable

    def put(self, **limits: Any) -> None:
        answer = self.operator.put(f"/v1/tenants/{self.id}/limits", json=limits)
        assert answer.status_code == 200, answer.text
        assert answer.json()["plan"] == "free"

    def say(self, message: str = "Hi", **fields: Any) -> httpx.Response:
        return self.http.post("/v1/chat", json={"message": message, **fields})

    def standing(self, name: str) -> dict[str, Any]:
        limits = self.http.get("/v1/limits").json()["limits"]
        return next(dict(each) for each in limits if (each["name"], each["scope"]) == (name, "tenant"))

    def used(self, name: str) -> Any:
        return self.standing(name)["used"]

    def refused(self, name: str, code: str, **fields: Any) -> httpx.Response:
        """Assert that a limit rejects the next call. Return the response.

        A dry run must report the rejection first. Neither the dry run nor the call may be counted.
        """
        before = self.standing("requests_per_day")["used"]
        told = self.http.post("/v1/limits/check", json={"message": "Hi", **fields}).json()
        answer = self.say(**fields)
        problem = answer.json()
        assert (answer.status_code, problem["code"], problem["limit"]) == (429, code, name), answer.text
        assert (told["admitted"], told["binding"]) == (False, name)
        assert self.standing("requests_per_day")["used"] == before
        return answer

    def ledger(self) -> list[LedgerEntry]:
        """Return all ledger entries of the tenant."""
        now = datetime.now(UTC)
        months = {keys.month(now), keys.month(now - timedelta(hours=1))}
        return [entry for month in sorted(months) for entry, _ in LedgerStore(self.table).read_month(month)]

    def slots(self) -> list[str]:
        """Return the names of all slots of the tenant, including slots whose lease has expired."""
        item = self.table.get(keys.admission("")) or {}
        return [*item.get("slots", {}), *item.get("late", {})]

    def assert_settled(self, calls: int) -> None:
        """Assert that the ledger has `calls` entries and that the counters match.

        No reservation or slot may remain.
        """
        entries = self.ledger()
        assert len(entries) == calls
        assert (self.slots(), self.used("concurrent_turns") or 0) == ([], 0)
        assert self.used("requests_per_day") == calls
        assert self.used("tokens_per_month") == sum(entry.total_tokens for entry in entries)
        cost = sum(entry.cost_nanos for entry in entries)
        assert self.used("cost_per_month") == show_limit("cost_per_month", cost)


@contextmanager
def made_tenant(stack: Stack) -> Iterator[Limited]:
    """Create a tenant on the free plan. Delete the tenant afterwards."""
    operator = httpx.Client(
        base_url=stack.base_url, headers={"x-api-key": stack.description["platform_api_key"]}, timeout=300
    )
    name = f"limited-{uuid4().hex[:12]}"
    admin = {"email": f"admin@{name}.example", "password": PASSWORD}
    made = operator.post("/v1/tenants", json={"name": name, "plan": "free", "admin": admin}).json()
    http = httpx.Client(base_url=stack.base_url, headers={"x-api-key": made["api_key"]}, timeout=300)
    client = Endpoint(stack.description["endpoint_url"]).client("dynamodb")
    table = TenantTable(PhysicalTable(client, stack.description["table"]), TenantId(made["id"]))
    yield Limited(made["id"], made["api_key"], http, operator, table)
    operator.delete(f"/v1/tenants/{made['id']}")
    for opened in (http, operator, client):
        opened.close()
