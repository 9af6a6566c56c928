"""Login throttles: how attempts are delayed, and what ends a delay (time, success, administrator)."""

from datetime import timedelta

import pytest
from atrium.identity.login.backoff import delay_seconds
from atrium.kernel.clock import format_time
from atrium.kernel.errors import RateLimited
from atrium.kernel.ids import mint_user_id

from tests.builders.gateway import call_as, tenant_fields
from tests.builders.login_env import HERE, THERE, LoginEnv
from tests.builders.wires import intercepted, lose_replies

EMAIL = "ann@b.example"


def addresses(count: int) -> list[str]:
    return [f"192.0.2.{number}" for number in range(count)]


def refuse(login_env: LoginEnv, email: str = EMAIL, ip: str = HERE) -> int:
    """Assert that the call is rejected, and return its `Retry-After` in seconds."""
    with pytest.raises(RateLimited) as caught:
        login_env.enter(email, ip)
    assert caught.value.retry_after_seconds is not None
    return caught.value.retry_after_seconds


def test_the_wait_doubles_and_is_true(login_env: LoginEnv) -> None:
    for _ in range(5):
        login_env.enter(EMAIL, HERE)
    waits = []
    for _ in range(7):
        waits.append(refuse(login_env))
        login_env.deployment.clock.advance(waits[-1] - 0.5)
        assert refuse(login_env) == 1
        login_env.deployment.clock.advance(0.5)
        login_env.enter(EMAIL, HERE)
    assert waits == [60, 120, 240, 480, 900, 900, 900]
    assert [delay_seconds(failures) for failures in (0, 4, 5, 15, 1_000)] == [0, 0, 60, 900, 900]
    login_env.deployment.clock.advance(86_400)
    for _ in range(5):
        login_env.enter(EMAIL, HERE)


def test_a_success_takes_its_failures_back(login_env: LoginEnv) -> None:
    for _ in range(6):
        for _ in range(4):
            attempt = login_env.enter(EMAIL, HERE)
        login_env.succeed(attempt)
        login_env.deployment.clock.advance(10)


def test_an_email_from_many_addresses(login_env: LoginEnv) -> None:
    for ip in addresses(20):
        login_env.enter(EMAIL, ip)
    login_env.deployment.clock.advance(100.2)
    assert refuse(login_env, ip=THERE) == 800
    login_env.enter("bob@b.example", THERE)
    login_env.deployment.clock.advance(799)
    assert refuse(login_env, ip=THERE) == 1
    login_env.deployment.clock.advance(1)
    login_env.enter(EMAIL, THERE)


def test_a_known_address_comes_through_while_others_guess(login_env: LoginEnv) -> None:
    login_env.succeed(login_env.enter(EMAIL, HERE))
    for ip in addresses(20):
        login_env.enter(EMAIL, ip)
    refuse(login_env, ip=THERE)
    login_env.succeed(login_env.enter(EMAIL, HERE))
    login_env.deployment.clock.advance(timedelta(days=30).total_seconds())
    for ip in addresses(20):
        login_env.enter(EMAIL, ip)
    refuse(login_env, ip=HERE)


def test_an_address_that_tries_many_emails(login_env: LoginEnv) -> None:
    for number in range(30):
        login_env.enter(f"{number}@b.example", HERE)
    login_env.deployment.clock.advance(0.3)
    assert refuse(login_env, "another@b.example") == 60
    login_env.enter("another@b.example", THERE)


def test_a_household_of_ipv6_is_one_address(login_env: LoginEnv) -> None:
    for number in range(5):
        login_env.enter(EMAIL, f"2001:db8:1:2::{number:x}")
    assert refuse(login_env, ip="2001:db8:1:2:ffff::1") == 60
    login_env.enter(EMAIL, "2001:db8:1:3::1")


def test_attempts_during_a_wait_are_not_counted(login_env: LoginEnv) -> None:
    for _ in range(5):
        login_env.enter(EMAIL, HERE)
    for _ in range(20):
        refuse(login_env)
    for ip in addresses(15):
        login_env.enter(EMAIL, ip)
    refuse(login_env, ip=THERE)


def test_a_reply_that_was_lost_counts_once_for_the_pair(login_env: LoginEnv) -> None:
    with intercepted(login_env.deployment.table.client, lose_replies):
        for _ in range(3):
            login_env.enter(EMAIL, HERE)
    for _ in range(2):
        login_env.enter(EMAIL, HERE)
    assert refuse(login_env) == 60


def test_an_administrator_unlocks(login_env: LoginEnv) -> None:
    user = login_env.add_user()
    client = call_as(login_env.client().app.app._app, fields_of(login_env))  # type: ignore[attr-defined]  # below the middleware
    path = f"/v1/users/{user.id}/unlock"
    for turn in range(5):
        for _ in range(5):
            login_env.enter(EMAIL, HERE)
        for number in range(14 if turn else 15):
            login_env.enter(EMAIL, f"192.0.{turn}.{number}")
        refuse(login_env)
        refuse(login_env, ip=THERE)
        assert client.post(path).status_code == 204
        login_env.enter(EMAIL, THERE)
        login_env.deployment.clock.advance(61)
    answer = client.post(path)
    assert (answer.status_code, answer.json()["code"]) == (429, "RATE_LIMITED")
    events = login_env.audited("admin.change")
    assert [event.details["action"] for event in events] == ["user.unlock"] * 5
    login_env.deployment.clock.advance(86_400)
    assert client.post(path).status_code == 204


def test_who_may_not_unlock(login_env: LoginEnv) -> None:
    user, other = login_env.add_user(), login_env.deployment.onboard("other")
    theirs = login_env.add_user(other)
    app = login_env.client().app.app._app  # type: ignore[attr-defined]  # below the middleware
    answer = call_as(app, fields_of(login_env, scopes="chat")).post(f"/v1/users/{user.id}/unlock")
    assert (answer.status_code, answer.json()["code"]) == (403, "SCOPE_REQUIRED")
    assert call_as(app, None).post(f"/v1/users/{user.id}/unlock").status_code == 401
    for user_id in (theirs.id, mint_user_id(login_env.deployment.clock()), "nonsense"):
        answer = call_as(app, fields_of(login_env)).post(f"/v1/users/{user_id}/unlock")
        assert (answer.status_code, answer.json()["code"]) == (404, "NOT_FOUND")


def test_stores_no_readable_identifiers(login_env: LoginEnv) -> None:
    login_env.succeed(login_env.enter(EMAIL, HERE))
    login_env.enter(EMAIL, THERE)
    items = login_env.deployment.table.client.scan(TableName=login_env.deployment.table.name)["Items"]
    kept = [item for item in items if "THROTTLE" in str(item["pk"])]
    assert kept
    assert all("ttl" in item for item in kept)
    for text in (EMAIL, HERE, THERE):
        assert text not in str(kept)


def fields_of(login_env: LoginEnv, **changes: str) -> dict[str, str | int | bool]:
    own = {"tenant_id": login_env.made.tenant.id, "scopes": "admin"}
    return dict(tenant_fields(**{**own, **changes}))


def test_a_refusal_says_when(login_env: LoginEnv) -> None:
    for ip in addresses(20):
        login_env.enter(EMAIL, ip)
    answer = login_env.log_in(EMAIL, ip=THERE, tenant="acme")
    until = format_time(login_env.deployment.clock() + timedelta(seconds=900))
    assert (answer.status_code, answer.headers["retry-after"], answer.json()["resets_at"]) == (429, "900", until)
