"""`POST /v1/auth/password` changes the caller's password."""

from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.builders.authorizing import AuthorizerEnv, bearer
from tests.builders.deployments import PASSWORD
from tests.builders.login_env import LoginEnv, counting_hashes

NEW = "a new password"


def change(client: TestClient, old: str = PASSWORD, new: str = NEW) -> Any:
    return client.post("/v1/auth/password", json={"old_password": old, "new_password": new})


def test_the_other_logins_end_and_this_one_goes_on(login_env: LoginEnv) -> None:
    here, elsewhere = login_env.log_in().json(), login_env.log_in().json()
    answer = change(login_env.client(here["access_token"]))
    assert answer.status_code == 200, answer.text
    authorizer_env = AuthorizerEnv(login_env.deployment)
    authorizer_env.context(bearer(answer.json()["access_token"]))
    for login in (here, elsewhere):
        with pytest.raises(Exception, match="Unauthorized"):
            authorizer_env.ask(bearer(login["access_token"]))
        refreshed = login_env.client().post("/v1/auth/refresh", json={"refresh_token": login["refresh_token"]})
        assert refreshed.status_code == 401
    own = login_env.client().post("/v1/auth/refresh", json={"refresh_token": answer.json()["refresh_token"]})
    assert own.status_code == 200
    assert login_env.log_in(password=PASSWORD).status_code == 401
    assert login_env.log_in(password=NEW).status_code == 200
    (event,) = login_env.audited("admin.change")
    assert event.details == {"action": "user.password", "resource": login_env.admin.id}


def test_a_wrong_old_password_and_a_new_one_that_is_none(login_env: LoginEnv) -> None:
    client = login_env.client(login_env.log_in().json()["access_token"])
    for old, new, field in ((NEW, NEW, "old_password"), (PASSWORD, login_env.admin.email, "new_password")):
        answer = change(client, old, new)
        assert (answer.status_code, answer.json()["errors"][0]["loc"]) == (422, ["body", field])
    assert change(client, PASSWORD, "short").status_code == 422
    assert login_env.log_in().status_code == 200


def test_guessing_it_with_a_stolen_token(login_env: LoginEnv) -> None:
    client = login_env.client(login_env.log_in().json()["access_token"])
    for _ in range(5):
        assert change(client, "a guess").status_code == 422
    with counting_hashes() as count:
        answer = change(client)
    assert (answer.status_code, answer.json()["code"], count.verified) == (429, "RATE_LIMITED", 0)
    assert answer.headers["retry-after"] == "900"
    assert login_env.log_in().status_code == 200  # the user can still log in without a delay


def test_a_key_has_no_password(login_env: LoginEnv) -> None:
    assert login_env.made.key
    answer = change(login_env.client(login_env.made.key.text))
    assert (answer.status_code, answer.json()["code"]) == (403, "FORBIDDEN")
    assert change(login_env.client()).status_code == 401
