"""Rejected logins. Without the correct password, the text and the numbers of hashes and reads are always the same."""

from dataclasses import replace
from typing import Any

import pytest

from tests.builders.deployments import PASSWORD, counting
from tests.builders.login_env import THERE, LoginEnv, counting_hashes
from tests.builders.refusals import refusing

WRONG = "not the password"


def refuse(login_env: LoginEnv, hashes: int, **body: Any) -> tuple[dict[str, Any], list[str]]:
    """Assert that a login returns 401 after `hashes` verified hashes.

    Return the response body and the calls to the table, except for `PutItem`.
    """
    with counting_hashes() as count, counting(login_env.deployment.table) as calls:
        answer = login_env.log_in(**body)
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (401, "UNAUTHENTICATED"), answer.text
    assert (count.verified, count.made) == (hashes, 0)
    assert "www-authenticate" not in answer.headers
    return problem, [call for call in calls if call != "PutItem"]


def test_without_a_tenant_nothing_tells_who_exists(login_env: LoginEnv) -> None:
    for name in ("second", "third"):
        login_env.add_user(login_env.deployment.onboard(name), email="in-two@b.example")
    login_env.add_user(email="invited@b.example", status="invited", password_hash="")
    emails = ["unknown@b.example", login_env.admin.email, "in-two@b.example", "invited@b.example", "no address", "@"]
    found = [refuse(login_env, 3, email=email, password=WRONG) for email in emails]
    assert len({str(problem) for problem, _ in found}) == 1
    assert len({str(calls) for _, calls in found}) == 1


def test_with_a_tenant_nothing_tells_who_exists(login_env: LoginEnv) -> None:
    named: list[tuple[str, str]] = [
        ("unknown@b.example", "acme"),
        (login_env.admin.email, "acme"),
        (login_env.admin.email, "other"),
        (login_env.admin.email, "no such tenant"),
    ]
    login_env.deployment.onboard("other")
    found = [refuse(login_env, 1, email=email, password=WRONG, tenant=tenant) for email, tenant in named]
    assert len({str(problem) for problem, _ in found}) == 1
    assert len({str(calls) for _, calls in found}) == 1


def test_another_tenants_user_is_not_in_this_tenant(login_env: LoginEnv) -> None:
    other = login_env.deployment.onboard("other")
    problem, _ = refuse(login_env, 1, email=login_env.admin.email, password=PASSWORD, tenant=other.tenant.id)
    assert "must name the tenant" in problem["detail"]
    (event,) = login_env.audited("auth.refuse", other)
    assert event.origin.principal == ""
    assert login_env.audited("auth.refuse") == []


def test_an_email_in_more_than_three_tenants_must_name_one(login_env: LoginEnv) -> None:
    user = login_env.add_user()
    for number in range(3):
        login_env.add_user(login_env.deployment.onboard(f"tenant-{number}"))
    unknown, _ = refuse(login_env, 3, email="unknown@b.example", password=PASSWORD)
    problem, _ = refuse(login_env, 3, email=user.email, password=PASSWORD)
    assert problem == unknown
    assert login_env.log_in(user.email, tenant="acme").status_code == 200


def test_a_deleted_tenants_user_cannot_log_in(login_env: LoginEnv) -> None:
    login_env.deployment.tenants.delete(login_env.made.tenant.id)
    refuse(login_env, 3, email=login_env.admin.email, password=PASSWORD)
    refuse(login_env, 1, email=login_env.admin.email, password=PASSWORD, tenant=login_env.made.tenant.id)


def test_an_address_that_was_changed_is_no_way_in(login_env: LoginEnv) -> None:
    user = login_env.add_user(email="old@b.example")
    login_env.users().change(user, replace(user, email="new@b.example"))
    refuse(login_env, 3, email="old@b.example", password=PASSWORD)
    assert login_env.log_in("new@b.example").status_code == 200


@pytest.mark.parametrize("tenant", [{}, {"tenant": "acme"}])
def test_a_suspended_user_or_tenant_hears_it_once_the_password_fits(
    login_env: LoginEnv, tenant: dict[str, str]
) -> None:
    user, hashes = login_env.add_user(status="suspended"), 1 if tenant else 3
    refuse(login_env, hashes, email=user.email, password=WRONG, **tenant)
    answer = login_env.log_in(user.email, **tenant)
    assert (answer.status_code, answer.json()["code"]) == (403, "USER_SUSPENDED")
    login_env.deployment.tenants.set_status(login_env.made.tenant.id, "suspended", "unpaid")
    refuse(login_env, hashes, email=user.email, password=WRONG, **tenant)
    answer = login_env.log_in(user.email, **tenant)
    assert (answer.status_code, answer.json()["code"]) == (403, "TENANT_INACTIVE")
    assert "unpaid" not in answer.text
    reasons = [event.details["reason"] for event in login_env.audited("auth.refuse")]
    assert set(reasons) == {"USER_SUSPENDED", "TENANT_INACTIVE", *(["wrong"] if tenant else [])}


def test_a_failure_without_a_tenant_is_a_masked_line_and_a_figure(
    login_env: LoginEnv, capsys: pytest.CaptureFixture[str]
) -> None:
    refuse(login_env, 3, email=login_env.admin.email, password=WRONG)
    written = capsys.readouterr().out
    assert "login refused" in written
    assert "LoginsRefused" in written
    assert login_env.admin.email not in written
    assert WRONG not in written
    assert login_env.audited("auth.refuse") == []


BAD: list[dict[str, Any]] = [
    {},
    {"email": "a@b.example"},
    {"password": "p"},
    {"email": "", "password": "p"},
    {"email": "a@b.example", "password": ""},
    {"email": "a@b.example", "password": "p" * 1_025},
    {"email": "a" * 256, "password": "p"},
    {"email": ["a@b.example"], "password": "p"},
    {"email": "a@b.example", "password": None},
    {"email": "a@b.example", "password": "p", "tenant": 7},
    {"email": "a@b.example", "password": "p", "role": "admin"},
]


@pytest.mark.parametrize("body", BAD)
def test_a_body_that_does_not_fit(login_env: LoginEnv, body: dict[str, Any]) -> None:
    with counting(login_env.deployment.table) as calls, counting_hashes() as count:
        answer = login_env.client().post("/v1/auth/login", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "VALIDATION_FAILED")
    assert (calls, count.verified) == ([], 0)


def test_guessing_from_one_address_slows_down_and_delays_no_other_address(login_env: LoginEnv) -> None:
    email, body = login_env.admin.email, {"tenant": "acme"}
    for _ in range(5):
        assert login_env.log_in(email, WRONG, **body).status_code == 401
    with counting_hashes() as count:
        answer = login_env.log_in(email, PASSWORD, **body)
    problem = answer.json()
    assert (answer.status_code, problem["code"], count.verified) == (429, "RATE_LIMITED", 0)
    assert (answer.headers["retry-after"], problem["limit"]) == ("60", "attempts")
    assert login_env.log_in(email, PASSWORD, **body).status_code == 429
    (event,) = login_env.audited("quota.refuse")
    assert (event.count, event.details["limit"], event.origin.principal) == (2, "attempts", "")
    assert login_env.log_in(email, PASSWORD, tenant="no such tenant").status_code == 401
    assert [event.count for event in login_env.audited("quota.refuse")] == [2]
    assert login_env.log_in(email, PASSWORD, ip=THERE, **body).status_code == 200
    assert login_env.log_in("unknown@b.example", WRONG, **body).status_code == 401
    login_env.deployment.clock.advance(60)
    assert login_env.log_in(email, PASSWORD, **body).status_code == 200
    for _ in range(5):  # the successful login reset the counters
        assert login_env.log_in(email, WRONG, **body).status_code == 401


def test_a_table_that_is_throttled(login_env: LoginEnv) -> None:
    with refusing(login_env.deployment.table, "UpdateItem", "ThrottlingException"), counting_hashes() as count:
        answer = login_env.log_in()
    assert (answer.status_code, answer.json()["code"], count.verified) == (503, "UNAVAILABLE", 0)
