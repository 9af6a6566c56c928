"""What a login is refused for. Before the password fits: one text, one number of hashes, one number of reads."""

from dataclasses import replace
from typing import Any

import pytest

from tests.builders.deployments import PASSWORD, counting
from tests.builders.doors import THERE, Street, counting_hashes
from tests.builders.refusals import refusing

WRONG = "not the password"


def refuse(street: Street, hashes: int, **body: Any) -> tuple[dict[str, Any], list[str]]:
    """Expect a 401 after so many hashes; return it without what differs each time, and the calls to the table."""
    with counting_hashes() as count, counting(street.deployment.table) as calls:
        answer = street.log_in(**body)
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (401, "UNAUTHENTICATED"), answer.text
    assert (count.verified, count.made) == (hashes, 0)
    assert "www-authenticate" not in answer.headers
    return problem, [call for call in calls if call != "PutItem"]


def test_without_a_tenant_nothing_tells_who_exists(street: Street) -> None:
    for name in ("second", "third"):
        street.add_user(street.deployment.onboard(name), email="in-two@b.example")
    street.add_user(email="invited@b.example", status="invited", password_hash="")
    emails = ["nobody@b.example", street.admin.email, "in-two@b.example", "invited@b.example", "no address", "@"]
    found = [refuse(street, 3, email=email, password=WRONG) for email in emails]
    assert len({str(problem) for problem, _ in found}) == 1
    assert len({str(calls) for _, calls in found}) == 1


def test_with_a_tenant_nothing_tells_who_exists(street: Street) -> None:
    named: list[tuple[str, str]] = [
        ("nobody@b.example", "acme"),
        (street.admin.email, "acme"),
        (street.admin.email, "other"),
        (street.admin.email, "no such tenant"),
    ]
    street.deployment.onboard("other")
    found = [refuse(street, 1, email=email, password=WRONG, tenant=tenant) for email, tenant in named]
    assert len({str(problem) for problem, _ in found}) == 1
    assert len({str(calls) for _, calls in found}) == 1


def test_another_tenants_user_is_nobody_here(street: Street) -> None:
    other = street.deployment.onboard("other")
    problem, _ = refuse(street, 1, email=street.admin.email, password=PASSWORD, tenant=other.tenant.id)
    assert "must name the tenant" in problem["detail"]
    (event,) = street.audited("auth.refuse", other)
    assert event.origin.principal == ""
    assert street.audited("auth.refuse") == []


def test_an_email_in_more_than_three_tenants_must_name_one(street: Street) -> None:
    user = street.add_user()
    for number in range(3):
        street.add_user(street.deployment.onboard(f"tenant-{number}"))
    nobody, _ = refuse(street, 3, email="nobody@b.example", password=PASSWORD)
    problem, _ = refuse(street, 3, email=user.email, password=PASSWORD)
    assert problem == nobody
    assert street.log_in(user.email, tenant="acme").status_code == 200


def test_a_deleted_tenants_user_is_nobody(street: Street) -> None:
    street.deployment.tenants.delete(street.made.tenant.id)
    refuse(street, 3, email=street.admin.email, password=PASSWORD)
    refuse(street, 1, email=street.admin.email, password=PASSWORD, tenant=street.made.tenant.id)


def test_an_address_that_was_changed_is_no_way_in(street: Street) -> None:
    user = street.add_user(email="old@b.example")
    street.users().change(user, replace(user, email="new@b.example"))
    refuse(street, 3, email="old@b.example", password=PASSWORD)
    assert street.log_in("new@b.example").status_code == 200


@pytest.mark.parametrize("tenant", [{}, {"tenant": "acme"}])
def test_a_suspended_user_or_tenant_hears_it_once_the_password_fits(street: Street, tenant: dict[str, str]) -> None:
    user, hashes = street.add_user(status="suspended"), 1 if tenant else 3
    refuse(street, hashes, email=user.email, password=WRONG, **tenant)
    answer = street.log_in(user.email, **tenant)
    assert (answer.status_code, answer.json()["code"]) == (403, "USER_SUSPENDED")
    street.deployment.tenants.set_status(street.made.tenant.id, "suspended", "unpaid")
    refuse(street, hashes, email=user.email, password=WRONG, **tenant)
    answer = street.log_in(user.email, **tenant)
    assert (answer.status_code, answer.json()["code"]) == (403, "TENANT_INACTIVE")
    assert "unpaid" not in answer.text
    reasons = [event.details["reason"] for event in street.audited("auth.refuse")]
    assert set(reasons) == {"USER_SUSPENDED", "TENANT_INACTIVE", *(["wrong"] if tenant else [])}


def test_a_failure_without_a_tenant_is_a_masked_line_and_a_figure(
    street: Street, capsys: pytest.CaptureFixture[str]
) -> None:
    refuse(street, 3, email=street.admin.email, password=WRONG)
    written = capsys.readouterr().out
    assert "login refused" in written
    assert "LoginsRefused" in written
    assert street.admin.email not in written
    assert WRONG not in written
    assert street.audited("auth.refuse") == []


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
def test_a_body_that_does_not_fit(street: Street, body: dict[str, Any]) -> None:
    with counting(street.deployment.table) as calls, counting_hashes() as count:
        answer = street.client().post("/v1/auth/login", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "VALIDATION_FAILED")
    assert (calls, count.verified) == ([], 0)


def test_guessing_from_one_address_slows_down_and_holds_nobody_else_up(street: Street) -> None:
    email, body = street.admin.email, {"tenant": "acme"}
    for _ in range(5):
        assert street.log_in(email, WRONG, **body).status_code == 401
    with counting_hashes() as count:
        answer = street.log_in(email, PASSWORD, **body)
    problem = answer.json()
    assert (answer.status_code, problem["code"], count.verified) == (429, "RATE_LIMITED", 0)
    assert (answer.headers["retry-after"], problem["limit"]) == ("60", "attempts")
    assert street.log_in(email, PASSWORD, **body).status_code == 429
    (event,) = street.audited("quota.refuse")
    assert (event.count, event.details["limit"], event.origin.principal) == (2, "attempts", "")
    assert street.log_in(email, PASSWORD, tenant="no such tenant").status_code == 401
    assert [event.count for event in street.audited("quota.refuse")] == [2]
    assert street.log_in(email, PASSWORD, ip=THERE, **body).status_code == 200
    assert street.log_in("nobody@b.example", WRONG, **body).status_code == 401
    street.deployment.clock.turn(60)
    assert street.log_in(email, PASSWORD, **body).status_code == 200
    for _ in range(5):  # the success took all back
        assert street.log_in(email, WRONG, **body).status_code == 401


def test_a_table_that_is_throttled(street: Street) -> None:
    with refusing(street.deployment.table, "UpdateItem", "ThrottlingException"), counting_hashes() as count:
        answer = street.log_in()
    assert (answer.status_code, answer.json()["code"], count.verified) == (503, "UNAVAILABLE", 0)
