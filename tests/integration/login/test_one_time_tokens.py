"""`POST /v1/auth/invitations/accept` sets a password with a one-time token and logs the user in.

The one-time token is an invitation or a password reset, and can be used once.
"""

from typing import Any

import pytest
from atrium.identity.users.one_time_token import mint_one_time_token
from atrium.identity.users.passwords import verify_password
from atrium.identity.users.service import UserService
from atrium.kernel.ids import mint_tenant_id, mint_user_id
from atrium.storage import keys
from atrium.tenants.auditing import audit_of

from tests.builders.authorizing import AuthorizerEnv, bearer
from tests.builders.deployments import PASSWORD, counting
from tests.builders.login_env import HERE, THERE, LoginEnv, counting_hashes
from tests.builders.logins import ORIGIN

NEW = "a new password"


def service(login_env: LoginEnv) -> UserService:
    """Return the user service of the tenant."""
    deployment, tenant = login_env.deployment, login_env.made.tenant
    table = deployment.runtime.tenant_table(tenant.id)
    audit = audit_of(tenant, table, ORIGIN, deployment.clock)
    return UserService(
        login_env.users(), audit, "dev", deployment.runtime.secrets.peppers("one_time_token").current, deployment.clock
    )


def invite(login_env: LoginEnv, **fields: Any) -> tuple[str, str]:
    made = service(login_env).create({"email": "ann@b.example", "role": "user", **fields})
    return made.user.id, made.text or ""


def accept(login_env: LoginEnv, token: str, *, ip: str = HERE, **body: Any) -> Any:
    return login_env.client(ip=ip).post("/v1/auth/invitations/accept", json={"token": token, "password": NEW, **body})


def refuse(login_env: LoginEnv, token: str, code: str = "INVITATION_INVALID", status: int = 401) -> dict[str, Any]:
    with counting_hashes() as count:
        answer = accept(login_env, token)
    assert (answer.status_code, answer.json()["code"], count.made) == (status, code, 0), answer.text
    problem: dict[str, Any] = answer.json()
    return problem


@pytest.mark.parametrize("role", ["user", "admin"])
def test_an_invitation(login_env: LoginEnv, role: str) -> None:
    user_id, token = invite(login_env, role=role)
    answer = accept(login_env, token, name="Ann")
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert found["user"]["id"] == user_id
    assert (found["user"]["name"], found["user"]["status"], found["user"]["role"]) == ("Ann", "active", role)
    assert found["user"]["last_login_at"] is not None
    context = AuthorizerEnv(login_env.deployment).context(bearer(found["access_token"]))
    assert (context["principal_id"], context["role"]) == (user_id, role)
    assert login_env.log_in("ann@b.example", NEW).status_code == 200
    counts = login_env.deployment.runtime.tenant_table(login_env.made.tenant.id).get(keys.counts())
    assert counts
    assert (counts["users"], counts["admins"]) == (2, 2 if role == "admin" else 1)
    actions = {event.details.get("action") for event in login_env.audited("admin.change")}
    assert actions == {"user.create", "user.invitation_accept"}
    refuse(login_env, token)


def test_a_reset_ends_the_logins_that_there_were(login_env: LoginEnv) -> None:
    login = login_env.log_in().json()
    made = service(login_env).reset(login_env.admin.id)
    authorizer_env = AuthorizerEnv(login_env.deployment)
    with pytest.raises(Exception, match="Unauthorized"):
        authorizer_env.ask(bearer(login["access_token"]))
    assert login_env.log_in().status_code == 200  # the old password remains valid until a new one is set
    found = accept(login_env, made.text or "").json()
    authorizer_env.context(bearer(found["access_token"]))
    assert login_env.log_in(password=PASSWORD, ip=THERE).status_code == 401
    assert login_env.log_in(password=NEW).status_code == 200
    assert (
        login_env.client().post("/v1/auth/refresh", json={"refresh_token": login["refresh_token"]}).status_code == 401
    )


def test_a_new_one_takes_the_place_of_the_old(login_env: LoginEnv) -> None:
    user_id, first = invite(login_env)
    second = service(login_env).reset(user_id).text or ""
    refuse(login_env, first)
    assert accept(login_env, second).status_code == 200


@pytest.mark.parametrize(("purpose", "seconds"), [("invitation", 7 * 86_400), ("reset", 3_600)])
def test_its_time(login_env: LoginEnv, purpose: str, seconds: int) -> None:
    if purpose == "invitation":
        token, again = invite(login_env)[1], invite(login_env, email="bob@b.example")[1]
    else:
        token = service(login_env).reset(login_env.admin.id).text or ""
        again = token
    login_env.deployment.clock.advance(seconds - 1)
    if purpose == "invitation":
        assert accept(login_env, again).status_code == 200
    login_env.deployment.clock.advance(1)
    refuse(login_env, token)
    events = login_env.audited("auth.refuse")
    assert events[0].details["by"] == "one-time token"


def test_rejects_invalid_tokens_alike_without_a_hash(login_env: LoginEnv) -> None:
    _, token = invite(login_env)
    now, secrets = login_env.deployment.clock(), login_env.deployment.runtime.secrets

    def made_up(environment: Any = "dev", tenant_id: Any = login_env.made.tenant.id, user_id: Any = None) -> str:
        owner = {"user_id": user_id or mint_user_id(now), "tenant_id": tenant_id}
        return mint_one_time_token(
            environment, secrets.peppers("one_time_token").current(), purpose="invitation", now=now, **owner
        )[0]

    user_id = login_env.users().find("ann@b.example")
    assert user_id
    others = [
        made_up(),
        made_up(tenant_id=mint_tenant_id(now)),
        made_up(user_id=user_id.id),
        made_up(user_id=login_env.admin.id),
        made_up("prod"),
        token[:-1],
        token[:-1] + ("a" if token[-1] != "a" else "b"),
        "atr_once_",
        "nonsense",
    ]
    answers = [refuse(login_env, text) for text in others]
    assert len({str(answer) for answer in answers}) == 1
    for text in others[4:]:
        with counting(login_env.deployment.table) as calls:
            refuse(login_env, text)
        assert set(calls) <= {"UpdateItem", "PutItem"}  # only the calls of the throttle: the token is not looked up
    assert accept(login_env, token).status_code == 200


def test_a_suspended_user_or_tenant_keeps_it(login_env: LoginEnv) -> None:
    user_id, token = invite(login_env)
    service(login_env).change(user_id, {"status": "suspended"})
    refuse(login_env, token, "USER_SUSPENDED", 403)
    service(login_env).change(user_id, {"status": "active"})
    login_env.deployment.tenants.set_status(login_env.made.tenant.id, "suspended", "")
    refuse(login_env, token, "TENANT_INACTIVE", 403)
    login_env.deployment.tenants.set_status(login_env.made.tenant.id, "active", "")
    assert accept(login_env, token).status_code == 200


def test_rejects_a_token_of_a_deleted_tenant(login_env: LoginEnv) -> None:
    _, token = invite(login_env)
    login_env.deployment.tenants.delete(login_env.made.tenant.id)
    refuse(login_env, token)


@pytest.mark.parametrize(
    "body",
    [
        {"password": "short"},
        {"password": "p" * 129},
        {"token": ""},
        {"token": "t" * 129},
        {"role": "admin"},
    ],
)
def test_a_body_that_does_not_fit_leaves_it(login_env: LoginEnv, body: dict[str, Any]) -> None:
    _, token = invite(login_env)
    answer = accept(login_env, body.pop("token", token), **body)
    assert (answer.status_code, answer.json()["code"]) == (422, "VALIDATION_FAILED")
    assert accept(login_env, token).status_code == 200


def test_the_address_is_no_password(login_env: LoginEnv) -> None:
    _, token = invite(login_env, email="ann.the.second@b.example")
    answer = accept(login_env, token, password="Ann.The.Second@b.example")
    assert (answer.status_code, answer.json()["errors"][0]["loc"]) == (422, ["body", "password"])
    assert accept(login_env, token).status_code == 200


def test_thirty_failures_a_minute_from_an_address(login_env: LoginEnv) -> None:
    _, token = invite(login_env)
    for _ in range(30):
        assert accept(login_env, "nonsense").status_code == 401
    login_env.deployment.clock.advance(20.5)
    answer = accept(login_env, token)
    assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (429, "RATE_LIMITED", "40")
    login_env.deployment.clock.advance(39)
    assert accept(login_env, token).status_code == 429
    login_env.deployment.clock.advance(1)
    assert accept(login_env, token).status_code == 200
    user = login_env.users().find("ann@b.example")
    assert user
    assert verify_password(NEW, user.password_hash)
