"""What slows guessing down, and how it ends: by time, by success, by an administrator."""

from datetime import timedelta

import pytest
from atrium.identity.doors.backoff import delay_seconds
from atrium.kernel.clock import format_time
from atrium.kernel.errors import RateLimited
from atrium.kernel.ids import mint_user_id

from tests.builders.doors import HERE, THERE, Street
from tests.builders.gateway import call_as, tenant_fields
from tests.builders.wires import intercepted, lose_replies

EMAIL = "ann@b.example"


def addresses(count: int) -> list[str]:
    return [f"192.0.2.{number}" for number in range(count)]


def refuse(street: Street, email: str = EMAIL, ip: str = HERE) -> int:
    """Expect a refusal and return the seconds to wait."""
    with pytest.raises(RateLimited) as caught:
        street.enter(email, ip)
    assert caught.value.retry_after_seconds is not None
    return caught.value.retry_after_seconds


def test_the_wait_doubles_and_is_true(street: Street) -> None:
    for _ in range(5):
        street.enter(EMAIL, HERE)
    waits = []
    for _ in range(7):
        waits.append(refuse(street))
        street.deployment.clock.turn(waits[-1] - 0.5)
        assert refuse(street) == 1
        street.deployment.clock.turn(0.5)
        street.enter(EMAIL, HERE)
    assert waits == [60, 120, 240, 480, 900, 900, 900]
    assert [delay_seconds(failures) for failures in (0, 4, 5, 15, 1_000)] == [0, 0, 60, 900, 900]
    street.deployment.clock.turn(86_400)
    for _ in range(5):
        street.enter(EMAIL, HERE)


def test_a_success_takes_its_failures_back(street: Street) -> None:
    for _ in range(6):
        for _ in range(4):
            attempt = street.enter(EMAIL, HERE)
        street.succeed(attempt)
        street.deployment.clock.turn(10)


def test_an_email_from_many_addresses(street: Street) -> None:
    for ip in addresses(20):
        street.enter(EMAIL, ip)
    street.deployment.clock.turn(100.2)
    assert refuse(street, ip=THERE) == 800
    street.enter("bob@b.example", THERE)
    street.deployment.clock.turn(799)
    assert refuse(street, ip=THERE) == 1
    street.deployment.clock.turn(1)
    street.enter(EMAIL, THERE)


def test_a_known_address_comes_through_while_others_guess(street: Street) -> None:
    street.succeed(street.enter(EMAIL, HERE))
    for ip in addresses(20):
        street.enter(EMAIL, ip)
    refuse(street, ip=THERE)
    street.succeed(street.enter(EMAIL, HERE))
    street.deployment.clock.turn(timedelta(days=30).total_seconds())
    for ip in addresses(20):
        street.enter(EMAIL, ip)
    refuse(street, ip=HERE)


def test_an_address_that_tries_many_emails(street: Street) -> None:
    for number in range(30):
        street.enter(f"{number}@b.example", HERE)
    street.deployment.clock.turn(0.3)
    assert refuse(street, "another@b.example") == 60
    street.enter("another@b.example", THERE)


def test_a_household_of_ipv6_is_one_address(street: Street) -> None:
    for number in range(5):
        street.enter(EMAIL, f"2001:db8:1:2::{number:x}")
    assert refuse(street, ip="2001:db8:1:2:ffff::1") == 60
    street.enter(EMAIL, "2001:db8:1:3::1")


def test_what_was_refused_for_the_wait_is_not_counted_for_the_email(street: Street) -> None:
    for _ in range(5):
        street.enter(EMAIL, HERE)
    for _ in range(20):
        refuse(street)
    for ip in addresses(15):
        street.enter(EMAIL, ip)
    refuse(street, ip=THERE)


def test_a_reply_that_was_lost_counts_once_for_the_pair(street: Street) -> None:
    with intercepted(street.deployment.table.client, lose_replies):
        for _ in range(3):
            street.enter(EMAIL, HERE)
    for _ in range(2):
        street.enter(EMAIL, HERE)
    assert refuse(street) == 60


def test_an_administrator_unlocks(street: Street) -> None:
    user = street.add_user()
    client = call_as(street.client().app.app._app, fields_of(street))  # type: ignore[attr-defined]
    path = f"/v1/users/{user.id}/unlock"
    for turn in range(5):
        for _ in range(5):
            street.enter(EMAIL, HERE)
        for number in range(14 if turn else 15):
            street.enter(EMAIL, f"192.0.{turn}.{number}")
        refuse(street)
        refuse(street, ip=THERE)
        assert client.post(path).status_code == 204
        street.enter(EMAIL, THERE)
        street.deployment.clock.turn(61)
    answer = client.post(path)
    assert (answer.status_code, answer.json()["code"]) == (429, "RATE_LIMITED")
    events = street.audited("admin.change")
    assert [event.details["action"] for event in events] == ["user.unlock"] * 5
    street.deployment.clock.turn(86_400)
    assert client.post(path).status_code == 204


def test_who_may_not_unlock(street: Street) -> None:
    user, other = street.add_user(), street.deployment.onboard("other")
    theirs = street.add_user(other)
    app = street.client().app.app._app  # type: ignore[attr-defined]
    answer = call_as(app, fields_of(street, scopes="chat")).post(f"/v1/users/{user.id}/unlock")
    assert (answer.status_code, answer.json()["code"]) == (403, "SCOPE_REQUIRED")
    assert call_as(app, None).post(f"/v1/users/{user.id}/unlock").status_code == 401
    for user_id in (theirs.id, mint_user_id(street.deployment.clock()), "nonsense"):
        answer = call_as(app, fields_of(street)).post(f"/v1/users/{user_id}/unlock")
        assert (answer.status_code, answer.json()["code"]) == (404, "NOT_FOUND")


def test_nothing_readable_is_kept(street: Street) -> None:
    street.succeed(street.enter(EMAIL, HERE))
    street.enter(EMAIL, THERE)
    items = street.deployment.table.client.scan(TableName=street.deployment.table.name)["Items"]
    kept = [item for item in items if "THROTTLE" in str(item["pk"])]
    assert kept
    assert all("ttl" in item for item in kept)
    for text in (EMAIL, HERE, THERE):
        assert text not in str(kept)


def fields_of(street: Street, **changes: str) -> dict[str, str | int | bool]:
    own = {"tenant_id": street.made.tenant.id, "scopes": "admin"}
    return dict(tenant_fields(**{**own, **changes}))


def test_a_refusal_says_when(street: Street) -> None:
    for ip in addresses(20):
        street.enter(EMAIL, ip)
    answer = street.log_in(EMAIL, ip=THERE, tenant="acme")
    until = format_time(street.deployment.clock() + timedelta(seconds=900))
    assert (answer.status_code, answer.headers["retry-after"], answer.json()["resets_at"]) == (429, "900", until)
