"""Successful calls of the operator's tenant routes."""

from typing import Any

import pytest
from atrium.agent.store import AgentStore
from atrium.kernel.ids import TenantId
from atrium.kernel.pagination import PageRequest
from starlette.testclient import TestClient

from functions.platform.app import build
from tests.builders.authorizing import AuthorizerEnv, bearer
from tests.builders.deployments import PASSWORD, Deployment
from tests.builders.gateway import call_as, platform_fields, tenant_fields

TENANT_MEMBERS = {
    *("id", "name", "display_name", "plan", "status", "status_reason", "settings", "metadata", "config_version"),
    *("default_agent_id", "limits", "created_at", "updated_at"),
}
ADMIN = {"email": "admin@acme.example", "password": PASSWORD}


def create(client: TestClient, **body: Any) -> dict[str, Any]:
    answer = client.post("/v1/tenants", json={"name": "acme", "plan": "pro", **body})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    assert answer.headers["location"].endswith(f"/v1/tenants/{made['id']}")
    return made


def test_one_call_creates_a_working_tenant(deployment: Deployment, client: TestClient) -> None:
    made = create(client, display_name="Acme Inc", settings={"tone": 0.5}, metadata={"crm": "17"}, admin=ADMIN)
    assert set(made) == TENANT_MEMBERS | {"admin", "api_key", "api_key_id"}
    assert (made["name"], made["display_name"], made["plan"], made["status"]) == ("acme", "Acme Inc", "pro", "active")
    assert (made["settings"], made["metadata"]) == ({"tone": 0.5}, {"crm": "17"})
    assert made["admin"]["email"] == "admin@acme.example"
    assert made["admin"]["role"] == "admin"
    assert set(made["admin"]) == {
        *("id", "email", "role", "name", "status", "last_login_at", "created_at", "updated_at")
    }
    context = AuthorizerEnv(deployment).context(bearer(made["api_key"]))
    assert (context["tenant_id"], context["principal_id"]) == (made["id"], made["api_key_id"])
    agents = AgentStore(deployment.runtime.tenant_table(TenantId(made["id"]))).list(PageRequest()).items
    assert [agent.id for agent in agents] == [made["default_agent_id"]]


def test_the_smallest_tenant(client: TestClient) -> None:
    made = create(client, plan="free")
    assert (made["display_name"], made["settings"], made["metadata"]) == ("acme", {}, {})
    assert (made["admin"], made["api_key"], made["api_key_id"], made["status_reason"]) == (None, None, None, None)


def test_what_was_made_can_be_read_and_shows_no_key(client: TestClient) -> None:
    made = create(client, admin=ADMIN)
    answer = client.get(f"/v1/tenants/{made['id']}")
    assert set(answer.json()) == TENANT_MEMBERS
    assert {**made, **answer.json()} == made
    assert made["api_key"] not in answer.text


@pytest.mark.parametrize("name", ["a", "Acme & Söhne (2)", "测试租户", "n" * 100, "under_score-and.dot"])
def test_names_that_are_accepted(client: TestClient, name: str) -> None:
    assert create(client, name=name)["name"] == name


def test_lists_are_paged_oldest_first(deployment: Deployment, client: TestClient) -> None:
    for number in range(5):
        create(client, name=f"tenant-{number}")
        deployment.clock.advance(1)
    gone = create(client, name="gone")
    assert client.delete(f"/v1/tenants/{gone['id']}").status_code == 204
    seen: list[str] = []
    cursor: str | None = None
    while True:
        page = client.get("/v1/tenants", params={"limit": 2, **({"cursor": cursor} if cursor else {})}).json()
        seen += [tenant["name"] for tenant in page["data"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
        assert len(page["data"]) == 2 or seen[-1] == "tenant-4"
    assert seen == [f"tenant-{number}" for number in range(5)]


def test_a_page_is_full_though_deleted_tenants_lie_between(deployment: Deployment, client: TestClient) -> None:
    for number in range(6):
        made = create(client, name=f"tenant-{number}")
        deployment.clock.advance(1)
        if number % 2 == 0:
            client.delete(f"/v1/tenants/{made['id']}")
    page = client.get("/v1/tenants", params={"limit": 2}).json()
    assert [tenant["name"] for tenant in page["data"]] == ["tenant-1", "tenant-3"]


@pytest.mark.parametrize(
    "change",
    [
        {"display_name": "Other"},
        {"plan": "enterprise"},
        {"settings": {"features": {"beta": True}}},
        {"metadata": {"a": [1, 2.5, None]}},
        {"name": "other"},
        {"name": "ACME", "plan": "free", "display_name": "x"},
    ],
)
def test_any_part_can_be_changed(deployment: Deployment, client: TestClient, change: dict[str, Any]) -> None:
    made = create(client)
    deployment.clock.advance(1)
    changed = client.patch(f"/v1/tenants/{made['id']}", json=change).json()
    kept = TENANT_MEMBERS - {"updated_at", "config_version"} - set(change)
    assert {name: changed[name] for name in kept} == {name: made[name] for name in kept}
    assert {name: changed[name] for name in change} == change
    assert changed["config_version"] > made["config_version"]
    assert changed["updated_at"] > made["updated_at"]
    assert client.get(f"/v1/tenants/{made['id']}").json() == changed


def test_an_empty_change_changes_nothing(client: TestClient) -> None:
    made = create(client)
    changed = client.patch(f"/v1/tenants/{made['id']}", json={}).json()
    assert {**made, **changed} == made


@pytest.mark.parametrize("body", [None, {}, {"reason": "unpaid"}])
def test_suspend_and_activate_are_idempotent(
    deployment: Deployment, client: TestClient, body: dict[str, str] | None
) -> None:
    made = create(client, admin=ADMIN)
    authorizer_env = AuthorizerEnv(deployment)
    for _ in range(2):
        answer = client.post(f"/v1/tenants/{made['id']}/suspend", json=body)
        assert answer.status_code == 200, answer.text
        assert (answer.json()["status"], answer.json()["status_reason"]) == ("suspended", (body or {}).get("reason"))
    assert authorizer_env.code(bearer(made["api_key"])) == "TENANT_INACTIVE"
    for _ in range(2):
        answer = client.post(f"/v1/tenants/{made['id']}/activate")
        assert (answer.status_code, answer.json()["status"], answer.json()["status_reason"]) == (200, "active", None)
    deployment.clock.advance(30)
    authorizer_env.context(bearer(made["api_key"]))


def test_deletion_ends_the_credentials_and_frees_the_name(deployment: Deployment, client: TestClient) -> None:
    made = create(client, admin=ADMIN)
    answer = client.delete(f"/v1/tenants/{made['id']}")
    assert (answer.status_code, answer.content) == (204, b"")
    assert AuthorizerEnv(deployment).code(bearer(made["api_key"])) == "TENANT_INACTIVE"
    again = create(client, admin=ADMIN)
    assert again["id"] != made["id"]
    assert AuthorizerEnv(deployment).context(bearer(again["api_key"]))["tenant_id"] == again["id"]


def test_replays_an_answer_that_the_table_alone_does_not_reveal(deployment: Deployment, client: TestClient) -> None:
    body = {"name": "acme", "plan": "pro", "admin": ADMIN}
    first = client.post("/v1/tenants", json=body, headers={"idempotency-key": "k1"})
    again = client.post("/v1/tenants", json=body, headers={"idempotency-key": "k1"})
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json() == first.json()
    assert again.headers["idempotency-replayed"] == "true"
    saved = deployment.runtime.platform_table
    kept = deployment.table.client.query(
        TableName=deployment.table.name,
        KeyConditionExpression="pk = :pk",
        ExpressionAttributeValues={":pk": {"S": "PLATFORM#IDEMPOTENCY"}},
    )["Items"]
    assert saved
    assert len(kept) == 1
    assert first.json()["api_key"][8:30] not in str(kept)


def test_inside_a_tenant_the_platforms_routes_are_the_platforms_still(deployment: Deployment) -> None:
    made = deployment.onboard()
    fields = tenant_fields(principal_type="platform", scopes="platform", tenant_id=made.tenant.id)
    client = call_as(build(lambda: deployment.runtime), fields)
    assert [tenant["id"] for tenant in client.get("/v1/tenants").json()["data"]] == [made.tenant.id]


def test_links_keep_the_stage(deployment: Deployment) -> None:
    client = call_as(build(lambda: deployment.runtime), platform_fields(), stage_prefix="/dev")
    assert (
        client.post("/v1/tenants", json={"name": "a", "plan": "free"})
        .headers["location"]
        .startswith("/dev/v1/tenants/")
    )
