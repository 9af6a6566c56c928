"""For any credential, calls and policy evaluations use the same subject names of the caller."""

from collections.abc import Callable
from typing import Any

import pytest
from atrium.identity.context import read_authorizer_context
from atrium.identity.keys.service import KeyService
from atrium.identity.keys.store import KeyStore
from atrium.policy.guard import find_subject, subject_of
from atrium.tenants.auditing import open_audit
from atrium.tenants.context import Caller, Principal, TenantContext
from starlette.testclient import TestClient

from functions.admin.app import build
from tests.builders.authorizing import AuthorizerEnv, bearer
from tests.builders.deployments import Deployment
from tests.builders.gateway import call_as, tenant_fields
from tests.builders.logins import Logins, open_logins
from tests.builders.oauth import Browser, make_client

type Made = tuple[str, str, str]  # the credential, the principal of an evaluation, and its client (or "")


@pytest.fixture
def logins(deployment: Deployment) -> Logins:
    return open_logins(deployment)


@pytest.fixture
def admin(logins: Logins) -> TestClient:
    own = tenant_fields(tenant_id=logins.made.tenant.id, scopes="admin")
    return call_as(build(lambda: logins.deployment.runtime), own)


def of_key(logins: Logins) -> Made:
    made = logins.deployment.make_key(logins.made.tenant.id)
    return made.text, f"key:{made.key.id}", ""


def of_rotated_key(logins: Logins) -> Made:
    deployment, tenant = logins.deployment, logins.made.tenant
    made = deployment.make_key(tenant.id)
    rotator = Principal("user", logins.admin.id, "admin", frozenset({"admin"}), "admin")
    context = TenantContext(tenant.id, tenant.name, tenant.plan, 1, Caller(rotator, "request-1"))
    table, runtime = deployment.runtime.tenant_table(tenant.id), deployment.runtime
    pepper, audit = runtime.secrets.peppers("api_key").current, open_audit(context, table, runtime.clock)
    service = KeyService(context, KeyStore(table), runtime.settings.environment, pepper, runtime.clock, audit)
    issued = service.rotate(service.rotate(made.key.id, 0).key.id, 0)
    return issued.text, f"key:{issued.key.id}", ""


def of_client(logins: Logins) -> Made:
    issued = make_client(logins)
    answer = Browser(logins, issued).token(grant_type="client_credentials")
    return answer.json()["access_token"], f"client:{issued.client.id}", ""


def of_user(logins: Logins) -> Made:
    return logins.begin().access_token, f"user:{logins.admin.id}", ""


def of_user_through_client(logins: Logins) -> Made:
    issued = make_client(logins)
    browser = Browser(logins, issued)
    answer = browser.exchange(browser.agree(scope="chat sessions:read"))
    return answer.json()["access_token"], f"user:{logins.admin.id}", issued.client.id


MADE: list[Callable[[Logins], Made]] = [of_key, of_rotated_key, of_client, of_user, of_user_through_client]


@pytest.mark.parametrize("make", MADE, ids=lambda each: each.__name__)
def test_one_set_of_names(logins: Logins, make: Callable[[Logins], Made]) -> None:
    text, name, client = make(logins)
    call = read_authorizer_context(AuthorizerEnv(logins.deployment).context(bearer(text)), request_id="r")
    assert isinstance(call, TenantContext)
    table = logins.deployment.runtime.tenant_table(call.tenant_id)
    live = subject_of(call.tenant_id, call.principal)
    assert live == find_subject(table, name, client)
    assert {name, f"client:{client}"} - {"client:"} <= live


@pytest.mark.parametrize("make", MADE, ids=lambda each: each.__name__)
def test_a_policy_on_any_name_of_a_caller_holds_live_and_in_a_trial(
    logins: Logins, admin: TestClient, make: Callable[[Logins], Made]
) -> None:
    text, name, client = make(logins)
    fields, resource = AuthorizerEnv(logins.deployment).context(bearer(text)), "route:GET /v1/auth/me"
    question: dict[str, Any] = {"principal": name, "resource": resource}
    question |= {"context": {"client": client}} if client else {}
    names = {name, f"{fields['principal_type']}:{fields['principal_id']}", f"tenant:{logins.made.tenant.id}"}
    names |= {f"client:{client}", f"role:{fields['role']}"} - {"client:", "role:"}
    names |= {f"scope:{scope}" for scope in str(fields["scopes"]).split()}
    for own in sorted(names):
        body = {"name": own, "effect": "deny", "principals": [own], "actions": ["*"], "resources": [resource]}
        policy = admin.post("/v1/policies", json=body)
        assert policy.status_code == 201, policy.text
        assert admin.post("/v1/policies/evaluate", json=question).json()["matched"][0] == policy.json()["id"]
        assert logins.client(text).get("/v1/auth/me").status_code == 403, own
        admin.delete(f"/v1/policies/{policy.json()['id']}")
