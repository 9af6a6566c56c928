"""`POST /v1/auth/refresh` with valid refresh tokens, including lost replies."""

import json
from datetime import timedelta

import jwt
import pytest
from atrium.identity.families.model import LOGIN_SECONDS_MAX, REFRESH_SECONDS
from atrium.storage import keys

from tests.builders.authorizing import AuthorizerEnv, bearer
from tests.builders.logins import Logins
from tests.builders.refusals import losing_reply


def refresh(logins: Logins, text: str) -> dict[str, object]:
    answer = logins.client().post("/v1/auth/refresh", json={"refresh_token": text})
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    found: dict[str, object] = answer.json()
    return found


def test_the_answer_is_that_of_a_login(logins: Logins) -> None:
    answer = refresh(logins, logins.begin().refresh_token)
    assert (answer["token_type"], answer["expires_in"]) == ("Bearer", 900)
    tenant, admin = logins.made.tenant, logins.admin
    assert answer["tenant"] == {"id": tenant.id, "name": "acme", "display_name": "acme"}
    assert isinstance(answer["user"], dict)
    assert {"id": admin.id, "email": admin.email, "role": "admin", "status": "active"}.items() <= answer["user"].items()
    assert "password_hash" not in json.dumps(answer)
    context = AuthorizerEnv(logins.deployment).context(bearer(str(answer["access_token"])))
    assert (context["principal_id"], context["tenant_id"]) == (admin.id, tenant.id)


def test_each_token_is_good_once_and_each_access_token_is_another(logins: Logins) -> None:
    first = logins.begin()
    texts, ids = [first.refresh_token], [first.access_token]
    for _ in range(5):
        answer = refresh(logins, texts[-1])
        texts.append(str(answer["refresh_token"]))
        ids.append(str(answer["access_token"]))
    assert len(set(texts)) == 6
    claims = [jwt.decode(text, options={"verify_signature": False}) for text in ids]
    assert len({each["jti"] for each in claims}) == 6
    assert {each["fam"] for each in claims} == {first.family.id}


def test_the_table_holds_no_token(logins: Logins) -> None:
    text = str(refresh(logins, logins.begin().refresh_token)["refresh_token"])
    client, name = logins.deployment.table.client, logins.deployment.table.name
    kept = json.dumps(client.scan(TableName=name)["Items"], default=str)
    assert text not in kept
    assert text.removeprefix("atr_rt_")[:40] not in kept


def test_a_login_goes_on_for_seven_days_after_its_last_use(logins: Logins) -> None:
    text = logins.begin().refresh_token
    for _ in range(3):
        logins.deployment.clock.advance(REFRESH_SECONDS - 1)
        text = str(refresh(logins, text)["refresh_token"])


def test_a_login_ends_after_ninety_days_whatever_it_does(logins: Logins) -> None:
    text, used = logins.begin().refresh_token, 0
    while used + REFRESH_SECONDS < LOGIN_SECONDS_MAX:
        logins.deployment.clock.advance(REFRESH_SECONDS - 60)
        used += REFRESH_SECONDS - 60
        text = str(refresh(logins, text)["refresh_token"])
    logins.deployment.clock.advance(LOGIN_SECONDS_MAX - used)
    answer = logins.client().post("/v1/auth/refresh", json={"refresh_token": text})
    assert (answer.status_code, answer.json()["code"]) == (401, "TOKEN_EXPIRED")


def test_a_lost_reply_ends_no_login(logins: Logins) -> None:
    """The client repeats the call. The response has the refresh token of the lost response and a new access token."""
    text = logins.begin().refresh_token
    lost = refresh(logins, text)
    logins.deployment.clock.advance(9)
    again = refresh(logins, text)
    assert again["refresh_token"] == lost["refresh_token"]
    assert again["access_token"] != lost["access_token"]
    refresh(logins, str(again["refresh_token"]))


def test_a_lost_reply_of_the_table_ends_no_login(logins: Logins) -> None:
    text = logins.begin().refresh_token
    with losing_reply(logins.deployment.table, "UpdateItem") as lost:
        assert logins.client().post("/v1/auth/refresh", json={"refresh_token": text}).status_code == 503
    assert lost
    answer = refresh(logins, text)
    refresh(logins, str(answer["refresh_token"]))


def test_idempotency_key_is_ignored(logins: Logins) -> None:
    client, text, texts = logins.client(), logins.begin().refresh_token, set()
    for _ in range(2):
        answer = client.post("/v1/auth/refresh", json={"refresh_token": text}, headers={"Idempotency-Key": "same"})
        assert answer.status_code == 200
        assert "idempotency-replayed" not in answer.headers
        text = answer.json()["refresh_token"]
        texts.add(text)
    assert len(texts) == 2


def test_reads_the_role_again(logins: Logins) -> None:
    narrow = logins.begin(scopes=frozenset({"chat", "sessions:read"}))
    answer = refresh(logins, narrow.refresh_token)
    context = AuthorizerEnv(logins.deployment).context(bearer(str(answer["access_token"])))
    assert context["scopes"] == "chat sessions:read"


@pytest.mark.parametrize("days", [1, 6])
def test_the_item_outlives_every_access_token_that_names_it(logins: Logins, days: int) -> None:
    issued = logins.begin()
    logins.deployment.clock.advance(days * 86_400)
    refresh(logins, issued.refresh_token)
    item = logins.deployment.runtime.tenant_table(logins.made.tenant.id).get(keys.family(issued.family.id))
    assert item is not None
    last = logins.deployment.clock() + timedelta(seconds=REFRESH_SECONDS + 900)
    assert item["ttl"] > last.timestamp()
