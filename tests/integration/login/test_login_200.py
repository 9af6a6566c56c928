"""Successful logins with `POST /v1/auth/login`, with and without a tenant."""

import json

import pytest
from argon2 import PasswordHasher
from atrium.kernel.clock import format_time

from tests.builders.authorizing import AuthorizerEnv, bearer
from tests.builders.deployments import PASSWORD
from tests.builders.login_env import LoginEnv


def test_a_login(login_env: LoginEnv) -> None:
    answer = login_env.log_in()
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    found = answer.json()
    assert (found["token_type"], found["expires_in"]) == ("Bearer", 900)
    tenant = login_env.made.tenant
    assert found["tenant"] == {"id": tenant.id, "name": "acme", "display_name": "acme"}
    now = format_time(login_env.deployment.clock())
    assert {"id": login_env.admin.id, "role": "admin", "name": None, "last_login_at": now}.items() <= found[
        "user"
    ].items()
    assert "argon2" not in answer.text
    context = AuthorizerEnv(login_env.deployment).context(bearer(found["access_token"]))
    assert (context["principal_type"], context["principal_id"]) == ("user", login_env.admin.id)
    refreshed = login_env.client().post("/v1/auth/refresh", json={"refresh_token": found["refresh_token"]})
    assert refreshed.status_code == 200
    (event,) = login_env.audited("auth.login")
    assert (event.origin.principal, event.origin.ip) == (f"user:{login_env.admin.id}", "203.0.113.7")
    stored = login_env.users().get(login_env.admin.id)
    assert stored is not None
    assert stored.last_login_at == login_env.deployment.clock()


@pytest.mark.parametrize("tenant", ["id", "name", "NAME", None])
def test_naming_the_tenant_or_not(login_env: LoginEnv, tenant: str | None) -> None:
    named = {"id": login_env.made.tenant.id, "name": "acme", "NAME": "ACME"}
    body = {"tenant": named[tenant]} if tenant else {}
    assert login_env.log_in(login_env.admin.email.upper(), **body).status_code == 200


@pytest.mark.parametrize("tenant", ["acme", None])
@pytest.mark.parametrize("email", ["admin@acme.example ", " Admin@Acme.example", "\tadmin@acme.example\n"])
def test_blanks_around_the_email_make_no_difference(login_env: LoginEnv, email: str, tenant: str | None) -> None:
    body = {"tenant": tenant} if tenant else {}
    assert login_env.log_in(email, password="wrong horse battery", **body).status_code == 401
    assert login_env.log_in(email, **body).json()["user"]["id"] == login_env.admin.id


def test_an_email_in_several_tenants(login_env: LoginEnv) -> None:
    other, third = login_env.deployment.onboard("other"), login_env.deployment.onboard("third")
    login_env.add_user()
    mine = login_env.add_user(other)
    login_env.add_user(third, password_hash="$argon2id$v=19$m=47104,t=1,p=1$c29tZXRoaW5nZWxzZQ$bm90aGluZw")
    answer = login_env.log_in(mine.email)
    assert answer.status_code == 202, answer.text
    assert set(answer.json()) == {"tenants"}
    found = sorted(answer.json()["tenants"], key=lambda each: str(each["name"]))
    assert [each["name"] for each in found] == ["acme", "other"]
    assert set(found[0]) == {"id", "name", "display_name"}
    assert login_env.audited("auth.login") == []
    chosen = login_env.log_in(mine.email, tenant=found[1]["id"])
    assert (chosen.status_code, chosen.json()["user"]["id"]) == (200, mine.id)


def test_where_the_password_fits_once_that_is_the_one(login_env: LoginEnv) -> None:
    other = login_env.deployment.onboard("other")
    login_env.add_user(password_hash="")
    mine = login_env.add_user(other)
    answer = login_env.log_in(mine.email)
    assert (answer.status_code, answer.json()["tenant"]["name"]) == (200, "other")


def test_suspension_in_another_tenant_does_not_matter(login_env: LoginEnv) -> None:
    other, third = login_env.deployment.onboard("other"), login_env.deployment.onboard("third")
    mine = login_env.add_user()
    login_env.add_user(other, status="suspended")
    login_env.add_user(third)
    login_env.deployment.tenants.set_status(third.tenant.id, "suspended", "")
    answer = login_env.log_in(mine.email)
    assert (answer.status_code, answer.json()["user"]["id"]) == (200, mine.id)


def test_a_hash_with_older_parameters_is_made_anew(login_env: LoginEnv) -> None:
    older = PasswordHasher(time_cost=1, memory_cost=8_192, parallelism=1).hash(PASSWORD)
    user = login_env.add_user(password_hash=older)
    assert login_env.log_in(user.email).status_code == 200
    stored = login_env.users().get(user.id)
    assert stored is not None
    assert stored.password_hash.startswith("$argon2id$v=19$m=47104,t=1,p=1$")
    assert login_env.log_in(user.email).status_code == 200
    again = login_env.users().get(user.id)
    assert again is not None
    assert again.password_hash == stored.password_hash


def test_ignores_the_idempotency_key(login_env: LoginEnv) -> None:
    client, body = login_env.client(), {"email": login_env.admin.email, "password": PASSWORD}
    answers = [client.post("/v1/auth/login", json=body, headers={"idempotency-key": "k"}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert len({json.loads(answer.text)["refresh_token"] for answer in answers}) == 2
