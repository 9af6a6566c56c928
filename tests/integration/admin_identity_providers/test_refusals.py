"""Errors of the identity provider routes. A rejected call writes nothing."""

from typing import Any

import pytest
from starlette.testclient import TestClient

from functions.admin.app import build
from tests.builders.deployments import breaking, counting
from tests.builders.gateway import call_as
from tests.integration.admin_identity_providers.conftest import LOCAL
from tests.integration.admin_identity_providers.test_200 import ISSUER, create
from tests.integration.admin_keys.conftest import TenantEnv

UNKNOWN = "idp_01k6r5m2x8f3v9q4w7t1y0z5ab"
ROUTES: list[tuple[str, str, Any]] = [
    ("GET", "/v1/identity-providers", None),
    ("POST", "/v1/identity-providers", ISSUER),
    ("GET", f"/v1/identity-providers/{UNKNOWN}", None),
    ("PATCH", f"/v1/identity-providers/{UNKNOWN}", {"name": "n"}),
    ("DELETE", f"/v1/identity-providers/{UNKNOWN}", None),
]
WRITES = {"PutItem", "UpdateItem", "DeleteItem", "TransactWriteItems"}


def test_rejects_calls_without_admin_or_credential(tenant_env: TenantEnv) -> None:
    for method, path, body in ROUTES:
        with counting(tenant_env.deployment.table) as calls:
            answer = tenant_env.call_as(scopes="chat agents:write").request(method, path, json=body)
            assert (answer.status_code, answer.json()["code"]) == (403, "SCOPE_REQUIRED")
            answer = call_as(tenant_env.app, None).request(method, path, json=body)
            assert (answer.status_code, answer.json()["code"]) == (401, "UNAUTHENTICATED")
        assert not WRITES & set(calls)


def test_another_tenants_provider_is_not_found(tenant_env: TenantEnv, client: TestClient) -> None:
    other = tenant_env.deployment.onboard("other")
    theirs = create(tenant_env.call_as(tenant_id=other.tenant.id))
    for method, path, body in ROUTES[2:]:
        answers = []
        for provider_id in (theirs["id"], UNKNOWN, "nonsense"):
            answer = client.request(method, path.replace(UNKNOWN, provider_id), json=body)
            assert (answer.status_code, answer.json()["code"]) == (404, "NOT_FOUND")
            answers.append({**answer.json(), "detail": ""})
        assert len({str(answer) for answer in answers}) == 1
    assert client.get("/v1/identity-providers").json()["data"] == []


BAD: list[dict[str, Any]] = [
    {"issuer": ""},
    {"issuer": "login.acme.example"},
    {"issuer": "http://login.acme.example"},
    {"issuer": "http://127.0.0.1:8000"},
    {"issuer": "https://localhost"},
    {"issuer": "https://127.0.0.1"},
    {"issuer": "https://169.254.169.254"},
    {"issuer": "https://[::1]"},
    {"issuer": "https://[::ffff:10.0.0.1]"},
    {"issuer": "https://login.acme.example:8443"},
    {"issuer": "https://user@login.acme.example"},
    {"issuer": "https://login.acme.example/?a=b"},
    {"issuer": "https://login.acme.example/#a"},
    {"issuer": "ftp://login.acme.example"},
    {"issuer": "https://" + "a" * 600},
    {"issuer": 7},
    {"audience": ""},
    {"audience": "a b"},
    {"audience": "a" * 256},
    {"audience": "urn:atrium:ten_01k6r5m2x8f3v9q4w7t1y0z5ab"},
    {"jwks_uri": "http://login.acme.example/keys"},
    {"jwks_uri": "https://10.0.0.1/keys"},
    {"algorithms": []},
    {"algorithms": ["none"]},
    {"algorithms": ["HS256"]},
    {"algorithms": "RS256"},
    {"claim_mapping": {"email": ""}},
    {"claim_mapping": {"mail": "email"}},
    {"role_mapping": {"boss": "owner"}},
    {"role_mapping": {"boss": "admin"}},
    {"role_mapping": {f"g{at}": "user" for at in range(51)}},
    {"default_role": "platform"},
    {"provision_users": "yes"},
    {"name": ""},
    {"name": "a\nb"},
    {"id": UNKNOWN},
    {"secret": "x"},
]


def test_rejects_invalid_bodies(tenant_env: TenantEnv, client: TestClient) -> None:
    made = create(client, audience="first")
    for fields in BAD:
        with counting(tenant_env.deployment.table) as calls:
            for answer in (
                client.post("/v1/identity-providers", json={**ISSUER, **fields}),
                client.patch(f"/v1/identity-providers/{made['id']}", json=fields),
            ):
                assert (answer.status_code, answer.json()["code"]) == (422, "VALIDATION_FAILED"), (fields, answer.text)
                assert answer.json()["errors"][0]["loc"][:2] == ["body", next(iter(fields))]
        assert not WRITES & set(calls), fields


def test_rejects_local_issuers_outside_the_local_stack(tenant_env: TenantEnv) -> None:
    runtime = tenant_env.deployment.make_runtime(**LOCAL)
    assert tenant_env.made.key
    fields = {"tenant_id": tenant_env.made.tenant.id, "principal_id": tenant_env.made.key.key.id, "scopes": "admin"}
    tenant_env.app = build(lambda: runtime)
    local = tenant_env.call_as(**fields)
    assert create(local, issuer="http://127.0.0.1:8000")["issuer"] == "http://127.0.0.1:8000"
    answer = local.post("/v1/identity-providers", json={**ISSUER, "issuer": "http://10.0.0.1:8000"})
    assert answer.status_code == 422


def test_rejects_a_repeated_issuer_and_audience(tenant_env: TenantEnv, client: TestClient) -> None:
    create(client)
    answer = client.post("/v1/identity-providers", json=ISSUER)
    assert (answer.status_code, answer.json()["code"]) == (409, "CONFLICT")
    second = create(client, audience="second")
    answer = client.patch(f"/v1/identity-providers/{second['id']}", json=ISSUER)
    assert (answer.status_code, answer.json()["code"]) == (409, "CONFLICT")
    other = tenant_env.deployment.onboard("other")
    answer = tenant_env.call_as(tenant_id=other.tenant.id).post("/v1/identity-providers", json=ISSUER)
    assert (answer.status_code, answer.json()["code"]) == (409, "CONFLICT")
    assert tenant_env.made.tenant.id not in answer.text


def test_allows_at_most_twenty_providers(client: TestClient) -> None:
    for at in range(20):
        create(client, audience=f"a{at}")
    answer = client.post("/v1/identity-providers", json=ISSUER)
    assert (answer.status_code, answer.json()["code"]) == (409, "CONFLICT")


@pytest.mark.parametrize("write", [0, 1])
def test_repeating_completes_an_interrupted_registration(tenant_env: TenantEnv, client: TestClient, write: int) -> None:
    with breaking(tenant_env.deployment.table, write):
        assert client.post("/v1/identity-providers", json=ISSUER).status_code == 500
    assert client.get("/v1/identity-providers").json()["data"] == []
    create(client)


@pytest.mark.parametrize("write", [0, 1])
def test_repeating_completes_an_interrupted_deletion(tenant_env: TenantEnv, client: TestClient, write: int) -> None:
    made = create(client)
    with breaking(tenant_env.deployment.table, write):
        assert client.delete(f"/v1/identity-providers/{made['id']}").status_code == 500
    assert client.delete(f"/v1/identity-providers/{made['id']}").status_code == 204
    create(tenant_env.call_as(tenant_id=tenant_env.deployment.onboard("other").tenant.id))
