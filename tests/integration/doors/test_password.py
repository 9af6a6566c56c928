"""`POST /v1/auth/password`: the caller's own, old and new."""

from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.builders.authorizing import Door, bearer
from tests.builders.deployments import PASSWORD
from tests.builders.doors import Street, counting_hashes

NEW = "a new password"


def change(client: TestClient, old: str = PASSWORD, new: str = NEW) -> Any:
    return client.post("/v1/auth/password", json={"old_password": old, "new_password": new})


def test_the_other_logins_end_and_this_one_goes_on(street: Street) -> None:
    here, elsewhere = street.log_in().json(), street.log_in().json()
    answer = change(street.client(here["access_token"]))
    assert answer.status_code == 200, answer.text
    door = Door(street.deployment)
    door.context(bearer(answer.json()["access_token"]))
    for login in (here, elsewhere):
        with pytest.raises(Exception, match="Unauthorized"):
            door.ask(bearer(login["access_token"]))
        refreshed = street.client().post("/v1/auth/refresh", json={"refresh_token": login["refresh_token"]})
        assert refreshed.status_code == 401
    own = street.client().post("/v1/auth/refresh", json={"refresh_token": answer.json()["refresh_token"]})
    assert own.status_code == 200
    assert street.log_in(password=PASSWORD).status_code == 401
    assert street.log_in(password=NEW).status_code == 200
    (event,) = street.audited("admin.change")
    assert event.details == {"action": "user.password", "resource": street.admin.id}


def test_a_wrong_old_password_and_a_new_one_that_is_none(street: Street) -> None:
    client = street.client(street.log_in().json()["access_token"])
    for old, new, field in ((NEW, NEW, "old_password"), (PASSWORD, street.admin.email, "new_password")):
        answer = change(client, old, new)
        assert (answer.status_code, answer.json()["errors"][0]["loc"]) == (422, ["body", field])
    assert change(client, PASSWORD, "short").status_code == 422
    assert street.log_in().status_code == 200


def test_guessing_it_with_a_stolen_token(street: Street) -> None:
    client = street.client(street.log_in().json()["access_token"])
    for _ in range(5):
        assert change(client, "a guess").status_code == 422
    with counting_hashes() as count:
        answer = change(client)
    assert (answer.status_code, answer.json()["code"], count.verified) == (429, "RATE_LIMITED", 0)
    assert answer.headers["retry-after"] == "900"
    assert street.log_in().status_code == 200  # his own login is not held up


def test_a_key_has_no_password(street: Street) -> None:
    assert street.made.key
    answer = change(street.client(street.made.key.text))
    assert (answer.status_code, answer.json()["code"]) == (403, "FORBIDDEN")
    assert change(street.client()).status_code == 401
