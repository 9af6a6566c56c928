"""`POST /v1/auth/logout` and the operator's logout of a tenant: which logins end and which remain valid."""

from starlette.testclient import TestClient

import functions.platform.app
from functions.authorizer import verdict
from functions.identity.app import build
from tests.builders.authorizing import READ_AND_TOLD, AuthorizerEnv, bearer, expect_401
from tests.builders.deployments import Deployment
from tests.builders.gateway import call_as, platform_fields, tenant_fields
from tests.builders.logins import Logins, audited, open_logins


def is_alive(logins: Logins, text: str) -> bool:
    status = logins.client().post("/v1/auth/refresh", json={"refresh_token": text}).status_code
    assert status in {200, 401}
    return status == 200


def test_the_callers_own_login(logins: Logins) -> None:
    own, other = logins.begin(), logins.begin()
    assert logins.client(own.access_token).post("/v1/auth/logout").status_code == 204
    expect_401(AuthorizerEnv(logins.deployment), bearer(own.access_token), calls=READ_AND_TOLD)
    AuthorizerEnv(logins.deployment).context(bearer(other.access_token))
    assert not is_alive(logins, own.refresh_token)
    assert is_alive(logins, other.refresh_token)
    (event,) = logins.audited("auth.logout")
    assert (event.origin.principal, event.details) == (f"user:{logins.admin.id}", {"login": own.family.id})


def test_the_login_of_a_refresh_token(logins: Logins) -> None:
    own, other = logins.begin(), logins.begin()
    client = logins.client(own.access_token)
    for _ in range(2):
        answer = client.post("/v1/auth/logout", json={"refresh_token": other.refresh_token})
        assert (answer.status_code, answer.content) == (204, b"")
    assert not is_alive(logins, other.refresh_token)
    assert is_alive(logins, own.refresh_token)
    assert len(logins.audited("auth.logout")) == 1


def test_all_of_a_users_logins(logins: Logins) -> None:
    issued = [logins.begin() for _ in range(3)]
    assert logins.client(issued[0].access_token).post("/v1/auth/logout", json={"all": True}).status_code == 204
    for each in issued:
        expect_401(AuthorizerEnv(logins.deployment), bearer(each.access_token), calls=READ_AND_TOLD)
        assert not is_alive(logins, each.refresh_token)
    assert logins.audited("auth.logout")[0].details == {"all": True}


def test_a_refresh_token_of_another_tenant_is_left_alone(deployment: Deployment, logins: Logins) -> None:
    other = open_logins(deployment, "other")
    own, theirs = logins.begin(), other.begin()
    client = logins.client(own.access_token)
    for text in (theirs.refresh_token, "atr_rt_nonsense", "x"):
        assert client.post("/v1/auth/logout", json={"refresh_token": text}).status_code == 204
    assert is_alive(other, theirs.refresh_token)
    assert logins.audited("auth.logout") == []
    assert other.audited("auth.logout") == []


def test_an_api_key_has_no_login(deployment: Deployment, logins: Logins) -> None:
    fields = tenant_fields(tenant_id=logins.made.tenant.id)
    client = call_as(build(lambda: deployment.runtime), fields)
    for body in ({}, {"all": True}):
        answer = client.post("/v1/auth/logout", json=body)
        assert (answer.status_code, answer.json()["code"]) == (403, "FORBIDDEN")


def test_without_a_credential(logins: Logins) -> None:
    assert logins.client().post("/v1/auth/logout").status_code == 401


def platform(deployment: Deployment) -> TestClient:
    return call_as(functions.platform.app.build(lambda: deployment.runtime), platform_fields())


def test_a_whole_tenant(deployment: Deployment, logins: Logins) -> None:
    other = open_logins(deployment, "other")
    own, theirs, authorizer_env = logins.begin(), other.begin(), AuthorizerEnv(deployment)
    authorizer_env.context(bearer(own.access_token))
    answer = platform(deployment).post(f"/v1/tenants/{logins.made.tenant.id}/logout")
    assert (answer.status_code, answer.content) == (204, b"")
    deployment.clock.advance(verdict.KEPT_SECONDS)
    expect_401(authorizer_env, bearer(own.access_token), calls=READ_AND_TOLD)
    assert not is_alive(logins, own.refresh_token)
    assert is_alive(other, theirs.refresh_token)
    assert logins.made.key
    authorizer_env.context(bearer(logins.made.key.text))
    AuthorizerEnv(deployment).context(bearer(logins.begin().access_token))
    (event,) = audited(deployment, logins.made.tenant.id, "auth.logout")
    assert event.origin.principal.startswith("platform:")


def test_a_tenant_that_is_not_there(deployment: Deployment, logins: Logins) -> None:
    client = platform(deployment)
    for unknown in ("ten_01k6r5m2x8f3v9q4w7t1y0z5zz", "acme"):
        assert client.post(f"/v1/tenants/{unknown}/logout").status_code == 404
    deployment.tenants.delete(logins.made.tenant.id)
    assert client.post(f"/v1/tenants/{logins.made.tenant.id}/logout").status_code == 404


def test_a_tenant_cannot_log_itself_out_as_the_platform(deployment: Deployment, logins: Logins) -> None:
    fields = tenant_fields(tenant_id=logins.made.tenant.id)
    client = call_as(functions.platform.app.build(lambda: deployment.runtime), fields)
    answer = client.post(f"/v1/tenants/{logins.made.tenant.id}/logout")
    assert (answer.status_code, answer.json()["code"]) == (403, "SCOPE_REQUIRED")
