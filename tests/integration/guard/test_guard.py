"""The guard of an application's routes: which calls are allowed, rejected and audited."""

import pytest
from atrium.identity.scopes import ROLE_SCOPES
from atrium.policy.conditions import Conditions
from atrium.tenants.context import Principal

from functions.console.app import build as build_console
from tests.builders.api_env import assert_problem
from tests.builders.deployments import counting
from tests.builders.gateway import REQUEST_ID, call_as, platform_fields
from tests.builders.refusals import refusing
from tests.integration.guard.conftest import Guarded
from tests.unit.policy.policy_env import ADMIN, ANN, OTHER_TENANT, USER, VIEWER, without

LIST = "route:GET /v1/sessions"
ONE = "route:GET /v1/sessions/{session_id}"


def test_a_tenant_without_policies_uses_the_built_in_ones(guarded: Guarded) -> None:
    assert guarded.call_as(VIEWER).get("/v1/sessions").status_code == 200
    assert guarded.call_as(USER).post("/v1/sessions", json={}).status_code == 201
    assert guarded.policy_env.events("policy.deny") == guarded.policy_env.events("policy.allow") == []


def test_a_missing_scope_is_rejected_before_policies(guarded: Guarded) -> None:
    guarded.policy_env.create(effect="deny")
    answer = guarded.call_as(VIEWER).post("/v1/sessions", json={})
    problem = assert_problem(answer, 403, "SCOPE_REQUIRED")
    assert (
        problem["detail"] == "This call needs the scope sessions:write, which an administrator of the tenant can grant."
    )
    assert guarded.policy_env.events("policy.deny") == []


def test_an_allow_does_not_grant_a_scope(guarded: Guarded) -> None:
    guarded.policy_env.create()
    answer = guarded.call_as(without(USER, "sessions:read")).get("/v1/sessions")
    assert_problem(answer, 403, "SCOPE_REQUIRED")


def test_a_denial_is_403_and_audited(guarded: Guarded) -> None:
    made = guarded.policy_env.create(effect="deny", principals=(f"user:{ANN}",), resources=("route:POST /v1/sessions",))
    client = guarded.call_as(USER)
    answer = client.post("/v1/sessions", json={}, headers={"Idempotency-Key": "k", "user-agent": "tests"})
    problem = assert_problem(answer, 403, "POLICY_DENIED")
    assert problem["retryable"] is False
    assert made.name not in problem["detail"].split()
    [event] = guarded.policy_env.events("policy.deny")
    assert (event.origin.principal, event.origin.request_id) == (f"user:{ANN}", REQUEST_ID)
    assert (event.origin.ip, event.origin.user_agent) == ("203.0.113.7", "tests")
    assert event.details["resource"] == "route:POST /v1/sessions"
    assert event.details["matched"] == [made.id, "builtin:sessions:write"]
    assert client.get("/v1/sessions").json()["data"] == []
    guarded.policy_env.service().delete(made.id)
    again = guarded.call_as(USER).post("/v1/sessions", json={}, headers={"Idempotency-Key": "k"})
    assert again.status_code == 201  # the rejection was not stored for the idempotency key


def test_a_route_is_named_by_its_template(guarded: Guarded) -> None:
    made = guarded.call_as(USER).post("/v1/sessions", json={}).json()
    guarded.policy_env.create(effect="deny", resources=(ONE,))
    client = guarded.call_as(USER)
    assert_problem(client.get(f"/v1/sessions/{made['id']}"), 403, "POLICY_DENIED")
    assert client.get("/v1/sessions").status_code == 200
    assert client.patch(f"/v1/sessions/{made['id']}", json={"title": "t"}).status_code == 200


def test_rejects_a_malformed_call_before_policies(guarded: Guarded) -> None:
    guarded.policy_env.create(effect="deny")
    client = guarded.call_as(USER)
    assert_problem(client.get("/v1/sessions?unknown=1"), 422, "VALIDATION_FAILED")
    answer = client.post("/v1/sessions", content=b"{", headers={"content-type": "application/json"})
    assert_problem(answer, 400, "MALFORMED")
    assert guarded.policy_env.events("policy.deny") == []


def test_evaluates_circumstances(guarded: Guarded) -> None:
    inside = Conditions.model_validate({"ip": {"any_of": ["203.0.113.0/24"]}})
    guarded.policy_env.create(effect="deny", conditions=inside)
    assert_problem(guarded.call_as(USER).get("/v1/sessions"), 403, "POLICY_DENIED")


def test_does_not_affect_another_tenant(guarded: Guarded) -> None:
    guarded.policy_env.create(effect="deny")
    assert guarded.call_as(USER, tenant=OTHER_TENANT).get("/v1/sessions").status_code == 200


def test_the_operator_is_not_subject_to_policies(guarded: Guarded) -> None:
    guarded.policy_env.create(effect="deny")
    operator = Principal("platform", "key_0", "ops", frozenset({"platform"}))
    assert guarded.call_as(operator).get("/v1/sessions").status_code == 200
    client = call_as(build_console(lambda: guarded.runtime), platform_fields())
    assert client.get("/v1/health").status_code == 200


def test_public_routes_have_no_policies(guarded: Guarded) -> None:
    with counting(guarded.policy_env.physical) as calls:
        assert call_as(build_console(lambda: guarded.runtime), None).get("/v1/health").status_code == 200
    assert calls == []


def test_caches_policies(guarded: Guarded) -> None:
    client = guarded.call_as(USER)
    with counting(guarded.policy_env.physical) as first:
        client.get("/v1/sessions")
    with counting(guarded.policy_env.physical) as second:
        client.get("/v1/sessions")
    assert len(first) == len(second) + 1
    guarded.policy_env.clock.advance(300)
    with counting(guarded.policy_env.physical) as third:
        client.get("/v1/sessions")
    assert len(third) == len(first)


def test_reloads_policies_with_a_new_version(guarded: Guarded) -> None:
    before = guarded.call_as(USER)
    assert before.get("/v1/sessions").status_code == 200
    guarded.policy_env.create(effect="deny")  # another container creates the policy
    assert before.get("/v1/sessions").status_code == 200
    assert_problem(guarded.call_as(USER).get("/v1/sessions"), 403, "POLICY_DENIED")


@pytest.mark.parametrize("wanted", [True, False])
def test_audits_allowed_calls_if_the_tenant_asks_for_it(guarded: Guarded, wanted: bool) -> None:
    client = guarded.call_as(USER, audits_all=wanted)
    assert client.get("/v1/sessions").status_code == 200
    found = [event.details["resource"] for event in guarded.policy_env.events("policy.allow")]
    assert found == ([LIST] if wanted else [])


def test_denies_if_the_table_is_unavailable(guarded: Guarded) -> None:
    client = guarded.call_as(USER)
    with refusing(guarded.policy_env.physical, "Query", "InternalServerError", about="POLICY#") as refused:
        assert_problem(client.get("/v1/sessions"), 503, "UNAVAILABLE")
    assert refused


def test_denies_even_if_the_audit_fails(guarded: Guarded) -> None:
    guarded.policy_env.create(effect="deny")
    client = guarded.call_as(USER)
    with refusing(guarded.policy_env.physical, "PutItem", "InternalServerError", about="policy.deny") as refused:
        assert_problem(client.get("/v1/sessions"), 503, "UNAVAILABLE")
    assert refused


def test_an_administrator_may_do_everything_by_default(guarded: Guarded) -> None:
    assert ROLE_SCOPES["admin"] == ADMIN.scopes
    assert guarded.call_as(ADMIN).get("/v1/sessions").status_code == 200
