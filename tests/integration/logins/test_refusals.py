"""Invalid and ended refresh tokens are rejected. Only the holder of a token receives the reason."""

import pytest
from atrium.identity.families.model import REFRESH_SECONDS
from atrium.kernel.crypto import sha256_hex
from atrium.storage import keys
from atrium.storage.writes import EXISTS, Delete, Update
from starlette.testclient import TestClient

from functions.authorizer import verdict
from tests.builders.authorizing import READ_AND_TOLD, AuthorizerEnv, bearer, expect_401
from tests.builders.deployments import Deployment, counting
from tests.builders.logins import ORIGIN, Logins, open_logins


def refresh(client: TestClient, text: str) -> tuple[int, str]:
    answer = client.post("/v1/auth/refresh", json={"refresh_token": text})
    if answer.status_code == 200:
        return 200, str(answer.json()["refresh_token"])
    assert answer.headers["content-type"] == "application/problem+json"
    assert text not in answer.text
    return answer.status_code, str(answer.json()["code"])


def test_a_used_token_ends_its_login(logins: Logins) -> None:
    client, first = logins.client(), logins.begin()
    authorizer_env = AuthorizerEnv(logins.deployment)
    _, second = refresh(client, first.refresh_token)
    _, third = refresh(client, second)
    assert refresh(client, first.refresh_token) == (401, "TOKEN_INVALID")
    assert refresh(client, third) == (401, "TOKEN_INVALID")
    expect_401(authorizer_env, bearer(first.access_token), calls=READ_AND_TOLD)
    (event,) = logins.audited("auth.token_reuse")
    assert event.details["login"] == first.family.id
    assert event.origin.principal == f"user:{logins.admin.id}"
    assert event.origin.ip == "203.0.113.7"
    assert first.refresh_token not in repr(logins.audited())


def test_the_last_tokens_parent_ends_the_login_when_the_grace_is_over(logins: Logins) -> None:
    client, first = logins.client(), logins.begin()
    _, second = refresh(client, first.refresh_token)
    logins.deployment.clock.advance(10)
    assert refresh(client, first.refresh_token) == (401, "TOKEN_INVALID")
    assert refresh(client, second) == (401, "TOKEN_INVALID")


def test_without_a_grace_a_used_token_ends_its_login_at_once(deployment: Deployment) -> None:
    deployment.environment = {"REFRESH_GRACE_SECONDS": "0"}
    deployment.runtime = deployment.make_runtime()
    logins = open_logins(deployment)
    client, first = logins.client(), logins.begin()
    _, second = refresh(client, first.refresh_token)
    assert refresh(client, first.refresh_token) == (401, "TOKEN_INVALID")
    assert refresh(client, second) == (401, "TOKEN_INVALID")
    assert len(logins.audited("auth.token_reuse")) == 1


def test_two_calls_of_one_moment_get_the_same_even_without_a_grace(deployment: Deployment) -> None:
    deployment.environment = {"REFRESH_GRACE_SECONDS": "0"}
    deployment.runtime = deployment.make_runtime()
    logins = open_logins(deployment)
    text, earlier = logins.begin().refresh_token, list[str]()

    def go_first(**_: object) -> None:
        if not earlier:
            earlier.append("going")
            earlier[0] = logins.families.refresh(text, origin=ORIGIN).refresh_token

    event = "before-call.dynamodb.UpdateItem"
    deployment.table.client.meta.events.register(event, go_first)
    later = logins.families.refresh(text, origin=ORIGIN).refresh_token
    deployment.table.client.meta.events.unregister(event, go_first)
    assert earlier == [later]
    assert refresh(logins.client(), later)[0] == 200


def test_another_login_of_the_same_user_goes_on(logins: Logins) -> None:
    client, stolen, other = logins.client(), logins.begin(), logins.begin()
    _, second = refresh(client, stolen.refresh_token)
    refresh(client, second)
    assert refresh(client, stolen.refresh_token)[0] == 401
    assert refresh(client, other.refresh_token)[0] == 200


def test_an_expired_token(logins: Logins) -> None:
    text = logins.begin().refresh_token
    logins.deployment.clock.advance(REFRESH_SECONDS)
    assert refresh(logins.client(), text) == (401, "TOKEN_EXPIRED")
    (event,) = logins.audited("auth.refuse")
    assert event.details["reason"] == "the token family has expired"


def test_rejects_a_token_after_its_item_expired(logins: Logins) -> None:
    issued = logins.begin()
    table = logins.deployment.runtime.tenant_table(logins.made.tenant.id)
    table.write(Delete(keys.family(issued.family.id), EXISTS))
    assert refresh(logins.client(), issued.refresh_token) == (401, "TOKEN_EXPIRED")
    expect_401(AuthorizerEnv(logins.deployment), bearer(issued.access_token), calls=READ_AND_TOLD)


def forgeries(text: str) -> list[str]:
    turned = [text[:at] + ("a" if text[at] != "a" else "b") + text[at + 1 :] for at in range(len(text))]
    return [
        *turned,
        text + "a",
        text[:-1],
        text.removeprefix("atr_rt_"),
        "atr_rt_",
        "atr_rt_" + "z" * 107,
        sha256_hex(b""),
    ]


def test_unknown_texts_cost_no_read(logins: Logins) -> None:
    client, text = logins.client(), logins.begin().refresh_token
    with counting(logins.deployment.table) as calls:
        for forged in forgeries(text):
            assert refresh(client, forged) == (401, "TOKEN_INVALID"), forged
    assert calls == []
    assert refresh(client, text)[0] == 200


def test_another_environments_token(logins: Logins) -> None:
    text = logins.begin().refresh_token
    logins.deployment.runtime = logins.deployment.make_runtime(ATRIUM_ENVIRONMENT="prod")
    assert refresh(logins.client(), text) == (401, "TOKEN_INVALID")


def test_an_access_token_or_a_key_is_no_refresh_token_nor_the_reverse(logins: Logins) -> None:
    issued = logins.begin()
    assert logins.made.key
    for text in (issued.access_token, logins.made.key.text):
        assert refresh(logins.client(), text) == (401, "TOKEN_INVALID")
    expect_401(AuthorizerEnv(logins.deployment), bearer(issued.refresh_token))
    expect_401(AuthorizerEnv(logins.deployment), {"x-api-key": issued.refresh_token})


def test_a_token_of_another_client(logins: Logins) -> None:
    issued = logins.begin(client_id="cli_01k6r5m2x8f3v9q4w7t1y0z5af")
    assert refresh(logins.client(), issued.refresh_token) == (401, "TOKEN_INVALID")
    given = logins.families.refresh(issued.refresh_token, origin=ORIGIN, client_id="cli_01k6r5m2x8f3v9q4w7t1y0z5af")
    assert given.family.client_id == "cli_01k6r5m2x8f3v9q4w7t1y0z5af"


@pytest.mark.parametrize("status", ["suspended", "invited"])
def test_a_suspended_user(logins: Logins, status: str) -> None:
    text = logins.begin().refresh_token
    write = Update(keys.user(logins.admin.id), "SET #status = :status", EXISTS, {"status": status})
    logins.deployment.runtime.tenant_table(logins.made.tenant.id).write(write)
    assert refresh(logins.client(), text) == (403, "USER_SUSPENDED")


def test_a_suspended_tenant_and_back(logins: Logins) -> None:
    text, client = logins.begin().refresh_token, logins.client()
    logins.deployment.tenants.set_status(logins.made.tenant.id, "suspended", "")
    assert refresh(client, text) == (403, "TENANT_INACTIVE")
    logins.deployment.tenants.set_status(logins.made.tenant.id, "active", "")
    assert refresh(client, text)[0] == 200


def test_a_deleted_tenant_and_a_deleted_user(deployment: Deployment, logins: Logins) -> None:
    other = open_logins(deployment, "other")
    text, orphan = logins.begin().refresh_token, other.begin().refresh_token
    deployment.tenants.delete(logins.made.tenant.id)
    deployment.runtime.tenant_table(other.made.tenant.id).write(Delete(keys.user(other.admin.id), EXISTS))
    before = logins.audited()
    assert refresh(logins.client(), text) == (403, "TENANT_INACTIVE")
    assert logins.audited() == before, "a deleted tenant has no audit that anybody reads"
    assert refresh(other.client(), orphan) == (401, "TOKEN_INVALID")
    assert other.audited()[0].type == "auth.refuse"


def test_a_tenant_whose_item_is_gone(deployment: Deployment, logins: Logins) -> None:
    text, table = logins.begin().refresh_token, deployment.runtime.tenant_table(logins.made.tenant.id)
    table.write(Delete(keys.tenant(), EXISTS))
    assert refresh(logins.client(), text) == (401, "TOKEN_INVALID")


@pytest.mark.parametrize(
    "body",
    [{}, {"refresh_token": ""}, {"refresh_token": 7}, {"refresh_token": "x" * 4_097}, {"refresh_token": "x", "a": 1}],
)
def test_a_body_that_does_not_fit(logins: Logins, body: dict[str, object]) -> None:
    answer = logins.client().post("/v1/auth/refresh", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "VALIDATION_FAILED")


def test_a_login_that_ended_ends_its_access_tokens_within_the_authorizers_memory(logins: Logins) -> None:
    issued, authorizer_env = logins.begin(), AuthorizerEnv(logins.deployment)
    authorizer_env.context(bearer(issued.access_token))
    assert logins.client(issued.access_token).post("/v1/auth/logout").status_code == 204
    logins.deployment.clock.advance(verdict.KEPT_SECONDS)
    expect_401(authorizer_env, bearer(issued.access_token), calls=READ_AND_TOLD)
