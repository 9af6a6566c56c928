"""`POST /v1/auth/invitations/accept`: an invitation or a reset becomes a password and a login, once."""

from typing import Any

import pytest
from atrium.identity.users.passwords import verify_password
from atrium.identity.users.service import UserService
from atrium.identity.users.ticket import mint_ticket
from atrium.kernel.ids import mint_tenant_id, mint_user_id
from atrium.storage import keys
from atrium.tenants.auditing import audit_of

from tests.builders.authorizing import Door, bearer
from tests.builders.deployments import PASSWORD, counting
from tests.builders.doors import HERE, THERE, Street, counting_hashes
from tests.builders.logins import ORIGIN

NEW = "a new password"


def service(street: Street) -> UserService:
    """Return what the administrator uses."""
    deployment, tenant = street.deployment, street.made.tenant
    table = deployment.runtime.tenant_table(tenant.id)
    audit = audit_of(tenant, table, ORIGIN, deployment.clock)
    return UserService(street.users(), audit, "dev", deployment.runtime.secrets.current_pepper, deployment.clock)


def invite(street: Street, **fields: Any) -> tuple[str, str]:
    made = service(street).create({"email": "ann@b.example", "role": "user", **fields})
    return made.user.id, made.text or ""


def accept(street: Street, token: str, *, ip: str = HERE, **body: Any) -> Any:
    return street.client(ip=ip).post("/v1/auth/invitations/accept", json={"token": token, "password": NEW, **body})


def refuse(street: Street, token: str, code: str = "INVITATION_INVALID", status: int = 401) -> dict[str, Any]:
    with counting_hashes() as count:
        answer = accept(street, token)
    assert (answer.status_code, answer.json()["code"], count.made) == (status, code, 0), answer.text
    problem: dict[str, Any] = answer.json()
    return problem


@pytest.mark.parametrize("role", ["user", "admin"])
def test_an_invitation(street: Street, role: str) -> None:
    user_id, token = invite(street, role=role)
    answer = accept(street, token, name="Ann")
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert found["user"]["id"] == user_id
    assert (found["user"]["name"], found["user"]["status"], found["user"]["role"]) == ("Ann", "active", role)
    assert found["user"]["last_login_at"] is not None
    context = Door(street.deployment).context(bearer(found["access_token"]))
    assert (context["principal_id"], context["role"]) == (user_id, role)
    assert street.log_in("ann@b.example", NEW).status_code == 200
    counts = street.deployment.runtime.tenant_table(street.made.tenant.id).get(keys.counts())
    assert counts
    assert (counts["users"], counts["admins"]) == (2, 2 if role == "admin" else 1)
    actions = {event.details.get("action") for event in street.audited("admin.change")}
    assert actions == {"user.create", "user.invitation_accept"}
    refuse(street, token)


def test_a_reset_ends_the_logins_that_there_were(street: Street) -> None:
    login = street.log_in().json()
    made = service(street).reset(street.admin.id)
    door = Door(street.deployment)
    with pytest.raises(Exception, match="Unauthorized"):
        door.ask(bearer(login["access_token"]))
    assert street.log_in().status_code == 200  # the old password goes on until there is a new one
    found = accept(street, made.text or "").json()
    door.context(bearer(found["access_token"]))
    assert street.log_in(password=PASSWORD, ip=THERE).status_code == 401
    assert street.log_in(password=NEW).status_code == 200
    assert street.client().post("/v1/auth/refresh", json={"refresh_token": login["refresh_token"]}).status_code == 401


def test_a_new_one_takes_the_place_of_the_old(street: Street) -> None:
    user_id, first = invite(street)
    second = service(street).reset(user_id).text or ""
    refuse(street, first)
    assert accept(street, second).status_code == 200


@pytest.mark.parametrize(("purpose", "seconds"), [("invitation", 7 * 86_400), ("reset", 3_600)])
def test_its_time(street: Street, purpose: str, seconds: int) -> None:
    if purpose == "invitation":
        token, again = invite(street)[1], invite(street, email="bob@b.example")[1]
    else:
        token = service(street).reset(street.admin.id).text or ""
        again = token
    street.deployment.clock.turn(seconds - 1)
    if purpose == "invitation":
        assert accept(street, again).status_code == 200
    street.deployment.clock.turn(1)
    refuse(street, token)
    events = street.audited("auth.refuse")
    assert events[0].details["by"] == "one-time token"


def test_what_is_none_of_ours_has_one_answer_and_no_hash(street: Street) -> None:
    _, token = invite(street)
    now, secrets = street.deployment.clock(), street.deployment.runtime.secrets

    def made_up(environment: Any = "dev", tenant_id: Any = street.made.tenant.id, user_id: Any = None) -> str:
        owner = {"user_id": user_id or mint_user_id(now), "tenant_id": tenant_id}
        return mint_ticket(environment, secrets.current_pepper(), purpose="invitation", now=now, **owner)[0]

    user_id = street.users().find("ann@b.example")
    assert user_id
    others = [
        made_up(),
        made_up(tenant_id=mint_tenant_id(now)),
        made_up(user_id=user_id.id),
        made_up(user_id=street.admin.id),
        made_up("prod"),
        token[:-1],
        token[:-1] + ("a" if token[-1] != "a" else "b"),
        "atr_once_",
        "nonsense",
    ]
    answers = [refuse(street, text) for text in others]
    assert len({str(answer) for answer in answers}) == 1
    for text in others[4:]:
        with counting(street.deployment.table) as calls:
            refuse(street, text)
        assert set(calls) <= {"UpdateItem", "PutItem"}  # the throttle's, no look for it
    assert accept(street, token).status_code == 200


def test_a_suspended_user_or_tenant_keeps_it(street: Street) -> None:
    user_id, token = invite(street)
    service(street).change(user_id, {"status": "suspended"})
    refuse(street, token, "USER_SUSPENDED", 403)
    service(street).change(user_id, {"status": "active"})
    street.deployment.tenants.set_status(street.made.tenant.id, "suspended", "")
    refuse(street, token, "TENANT_INACTIVE", 403)
    street.deployment.tenants.set_status(street.made.tenant.id, "active", "")
    assert accept(street, token).status_code == 200


def test_a_deleted_tenants_is_worth_nothing(street: Street) -> None:
    _, token = invite(street)
    street.deployment.tenants.delete(street.made.tenant.id)
    refuse(street, token)


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
def test_a_body_that_does_not_fit_leaves_it(street: Street, body: dict[str, Any]) -> None:
    _, token = invite(street)
    answer = accept(street, body.pop("token", token), **body)
    assert (answer.status_code, answer.json()["code"]) == (422, "VALIDATION_FAILED")
    assert accept(street, token).status_code == 200


def test_the_address_is_no_password(street: Street) -> None:
    _, token = invite(street, email="ann.the.second@b.example")
    answer = accept(street, token, password="Ann.The.Second@b.example")
    assert (answer.status_code, answer.json()["errors"][0]["loc"]) == (422, ["body", "password"])
    assert accept(street, token).status_code == 200


def test_thirty_failures_a_minute_from_an_address(street: Street) -> None:
    _, token = invite(street)
    for _ in range(30):
        assert accept(street, "nonsense").status_code == 401
    street.deployment.clock.turn(20.5)
    answer = accept(street, token)
    assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (429, "RATE_LIMITED", "40")
    street.deployment.clock.turn(39)
    assert accept(street, token).status_code == 429
    street.deployment.clock.turn(1)
    assert accept(street, token).status_code == 200
    user = street.users().find("ann@b.example")
    assert user
    assert verify_password(NEW, user.password_hash)
