"""`PUT /v1/tenants/{id}/limits`: replaces all limits, is audited, and applies from the next admission."""

from typing import Any

import pytest
from atrium.audit.query import AuditQuery
from atrium.audit.store import AuditStore
from atrium.kernel.pagination import PageRequest
from atrium.quotas.model import Rejected, Used

from functions.platform.app import build
from tests.builders.deployments import counting
from tests.builders.gateway import call_as, tenant_fields
from tests.integration.limits.conftest import Limited

UNKNOWN = "ten_01k6r5m2x8f3v9q4w7t1y0z5zz"


def test_returns_the_current_state_of_limits(free: Limited) -> None:
    free.admit(1_000, 1_000_000)
    answer = free.put({"tokens_per_month": 5_000, "cost_per_month": "0.5", "requests_per_day": -1, "users": None})
    assert answer.status_code == 200, answer.text
    assert answer.json() == free.read()
    shown = {each["name"]: (each["max"], each["used"], each["remaining"]) for each in answer.json()["limits"]}
    assert shown["tokens_per_month"] == (5_000, 1_000, 4_000)
    assert shown["cost_per_month"] == ("0.500000", "0.001000", "0.499000")
    assert shown["requests_per_day"] == (-1, None, None)
    assert shown["users"][0] == 5


def test_omitted_limits_are_the_plans(free: Limited) -> None:
    free.put({"requests_per_minute": 3, "agents": 1})
    free.put({"agents": 2, "requests_per_minute": None})
    assert (free.standing("requests_per_minute")["max"], free.standing("agents")["max"]) == (60, 2)
    free.put({})
    assert free.standing("agents")["max"] == 10


def test_it_holds_from_the_next_admission_on(free: Limited) -> None:
    free.admit()
    free.put({"requests_per_minute": 1})
    rejected = free.ask()
    assert isinstance(rejected, Rejected)
    assert (rejected.limit, rejected.used, rejected.max) == ("requests_per_minute", 1, 1)
    free.put({"requests_per_minute": 2})
    free.admit()


def test_another_plan_holds_from_the_next_admission_on_and_forgets_nothing(free: Limited) -> None:
    free.admit(1_000)
    path = f"/v1/tenants/{free.made.tenant.id}"
    assert free.operator().patch(path, json={"plan": "pro"}).json()["plan"] == "pro"
    assert free.read()["plan"] == "pro"
    standing = free.standing("tokens_per_month")
    assert (standing["used"], standing["max"], free.standing("concurrent_turns")["used"]) == (1_000, 10_000_000, 1)
    for _ in range(5):
        free.admit(1_000)
    assert free.operator().patch(path, json={"plan": "free", "display_name": "Acme"}).status_code == 200
    standing = free.standing("concurrent_turns")
    assert (standing["used"], standing["max"], standing["remaining"]) == (6, 2, 0)
    assert free.standing("tokens_per_month")["used"] == 6_000


def test_a_new_limit_includes_earlier_usage(pro: Limited) -> None:
    pro.put({"cost_per_month": -1, "tokens_per_month": -1})
    for _ in range(3):
        pro.service.settle(pro.admit(1_000, 2_000_000), Used(700, 1_000_000))
    pro.put({"cost_per_month": "0.003500"})
    assert (pro.standing("cost_per_month")["used"], pro.standing("tokens_per_month")["used"]) == ("0.003000", 2_100)
    answer = pro.ask(10, 600_000)
    assert isinstance(answer, Rejected)
    assert (answer.limit, answer.used) == ("cost_per_month", 3_000_000)
    pro.admit(10, 500_000)


def test_it_is_audited_and_raises_the_version(free: Limited) -> None:
    before = free.deployment.tenants.get(free.made.tenant.id)
    free.put({"cost_per_month": "2"})
    free.put({"cost_per_month": "3"})
    after = free.deployment.tenants.get(free.made.tenant.id)
    assert after.config_version == before.config_version + 2
    assert after.limits == {"cost_per_month": 3_000_000_000}
    now = free.deployment.clock()
    query = AuditQuery(now.replace(hour=0), now.replace(hour=23), "admin.change")
    events = AuditStore(free.table).list(query, PageRequest(), now=now).items
    assert {event.origin.principal.partition(":")[0] for event in events} == {"platform"}
    assert sorted(str(event.details["limits"]) for event in events) == [
        "{'cost_per_month': '2.000000'}", "{'cost_per_month': '3.000000'}"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("limits", "name", "kind"),
    [
        ({"requests_per_minute": -2}, "requests_per_minute", "invalid_limit"),
        ({"requests_per_minute": 1.5}, "requests_per_minute", "invalid_limit"),
        ({"requests_per_minute": 1.0}, "requests_per_minute", "invalid_limit"),
        ({"requests_per_minute": "5"}, "requests_per_minute", "invalid_limit"),
        ({"requests_per_minute": False}, "requests_per_minute", "invalid_limit"),
        ({"tokens_per_minute": 1_000_000_001}, "tokens_per_minute", "limit_too_high"),
        ({"requests_per_hour": 1}, "requests_per_hour", "unknown_limit"),
        ({"cost_per_month": 5}, "cost_per_month", "invalid_limit"),
        ({"cost_per_month": "0.0000001"}, "cost_per_month", "invalid_limit"),
        ({"cost_per_month": "-0.5"}, "cost_per_month", "invalid_limit"),
    ],
)
def test_an_invalid_limit_changes_nothing(free: Limited, limits: Any, name: str, kind: str) -> None:
    free.put({"agents": 3})
    with counting(free.deployment.table) as calls:
        answer = free.put({**limits, "users": 7})
    problem = answer.json()
    assert (answer.status_code, problem["code"], calls) == (422, "VALIDATION_FAILED", [])
    assert [(each["loc"], each["type"]) for each in problem["errors"]] == [(["body", name], kind)]
    assert all(set(each) == {"loc", "msg", "type"} for each in problem["errors"])
    assert (free.standing("agents")["max"], free.standing("users")["max"]) == (3, 5)


@pytest.mark.parametrize("body", [[], None, "x", 5])
def test_limits_are_an_object(free: Limited, body: Any) -> None:
    assert free.put(body).status_code == 422


@pytest.mark.parametrize("name", [UNKNOWN, "nonsense", "ten_"])
def test_an_unknown_tenant(free: Limited, name: str) -> None:
    answer = free.put({"agents": 1}, name)
    assert (answer.status_code, answer.json()["code"]) == (404, "NOT_FOUND")


def test_a_deleted_tenant(free: Limited) -> None:
    free.deployment.tenants.delete(free.made.tenant.id)
    assert free.put({"agents": 1}).status_code == 404


def test_no_tenants_credential_may(free: Limited) -> None:
    app = build(lambda: free.deployment.runtime)
    path = f"/v1/tenants/{free.made.tenant.id}/limits"
    for fields, status in ((tenant_fields(tenant_id=free.made.tenant.id, scopes="admin"), 403), (None, 401)):
        assert call_as(app, fields).put(path, json={"agents": 99}).status_code == status
    assert free.standing("agents")["max"] == 10
