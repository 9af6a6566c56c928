"""Resources of one tenant are not visible to another tenant, by id or in lists."""

import pytest

from tests.e2e.conftest import Stack, Tenant

type Ids = dict[str, str]


@pytest.fixture(scope="module")
def theirs(stack: Stack) -> Ids:
    """The ids of the other tenant, and of its session, run and agent."""
    pro = stack.tenants["pro"]
    turn = pro.chat("A secret of ours: swordfish.")
    return {"session": turn["session_id"], "run": turn["run_id"], "agent": pro.agent_id, "tenant": pro.id}


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/v1/sessions/{session}", None),
        ("PATCH", "/v1/sessions/{session}", {"title": "mine"}),
        ("DELETE", "/v1/sessions/{session}", None),
        ("GET", "/v1/sessions/{session}/messages", None),
        ("GET", "/v1/runs/{run}", None),
        ("GET", "/v1/runs/{run}/events", None),
        ("POST", "/v1/runs/{run}/cancel", None),
        ("POST", "/v1/chat", {"message": "hi", "session_id": "{session}"}),
        ("POST", "/v1/chat/stream", {"message": "hi", "session_id": "{session}"}),
        ("POST", "/v1/chat", {"message": "hi", "agent_id": "{agent}"}),
        ("POST", "/v1/sessions", {"agent_id": "{agent}"}),
        ("GET", "/v1/agents/{agent}", None),
        ("PATCH", "/v1/agents/{agent}", {"name": "mine"}),
        ("DELETE", "/v1/agents/{agent}", None),
    ],
)
def test_the_others_ids_are_not_found(
    theirs: Ids, pro: Tenant, free: Tenant, method: str, path: str, body: dict[str, str] | None
) -> None:
    filled = {name: value.format(**theirs) for name, value in body.items()} if body else None
    answer = free.http.request(method, path.format(**theirs), json=filled)
    assert answer.status_code == 404, answer.text
    assert answer.json()["code"] == "NOT_FOUND"
    assert pro.http.get(f"/v1/sessions/{theirs['session']}").status_code == 200


def test_nothing_of_it_is_in_a_list(theirs: Ids, free: Tenant) -> None:
    for path in ("/v1/sessions", "/v1/runs", "/v1/agents", "/v1/keys", f"/v1/runs?session_id={theirs['session']}"):
        answer = free.http.get(path)
        assert answer.status_code == 200, answer.text
        for unwanted in theirs.values():
            assert unwanted not in answer.text.replace(path, "")
        assert "swordfish" not in answer.text


def test_another_tenant_named_in_header_or_body_is_refused(theirs: Ids, free: Tenant) -> None:
    named = free.http.get("/v1/sessions", headers={"x-tenant-id": theirs["tenant"]})
    assert (named.status_code, named.json()["code"]) == (403, "TENANT_MISMATCH")
    body = free.http.post("/v1/chat", json={"message": "hi", "tenant_id": theirs["tenant"]})
    assert (body.status_code, body.json()["code"]) == (403, "TENANT_MISMATCH")


def test_a_forged_context_header_changes_nothing(theirs: Ids, free: Tenant) -> None:
    forged = '{{"authorizer": {{"tenant_id": "{}", "principal_type": "key"}}}}'.format(theirs["tenant"])
    for path in (f"/v1/runs/{theirs['run']}", f"/v1/sessions/{theirs['session']}"):
        answer = free.http.get(path, headers={"x-amzn-request-context": forged, "x-amz-tenant-id": theirs["tenant"]})
        assert answer.status_code == 404


def test_a_cursor_of_another_tenant_is_refused(pro: Tenant, free: Tenant) -> None:
    pro.chat("One.")
    pro.chat("Two.")
    cursor = pro.http.get("/v1/sessions?limit=1").json()["next_cursor"]
    assert cursor
    answer = free.http.get("/v1/sessions", params={"cursor": cursor})
    assert (answer.status_code, answer.json()["code"]) == (400, "INVALID_CURSOR")
