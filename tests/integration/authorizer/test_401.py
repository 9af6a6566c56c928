"""Invalid credentials: every response is the same, and the table is read only if necessary."""

from dataclasses import replace
from datetime import timedelta

import pytest
from atrium.identity.key_format import mint_key
from atrium.identity.keys.store import KeyStore
from atrium.kernel.ids import mint_key_id, mint_tenant_id
from atrium.settings import Environment

from functions.authorizer import verdict
from functions.authorizer.app import answer
from tests.builders.authorizing import ONE_READ, READ_AND_TOLD, AuthorizerEnv, bearer, expect_401
from tests.builders.deployments import Deployment


def test_rejects_a_missing_credential(authorizer_env: AuthorizerEnv) -> None:
    for headers in ({}, {"Authorization": ""}, {"x-api-key": ""}, {"Cookie": "token=x"}):
        expect_401(authorizer_env, headers)


@pytest.mark.parametrize("value", ["Basic YTpi", "Bearer", "Bearer ", "{}", "Token {}", "Bearer {} {}", "Bearer {},{}"])
def test_rejects_other_authorization_schemes(deployment: Deployment, authorizer_env: AuthorizerEnv, value: str) -> None:
    made = deployment.onboard()
    assert made.key
    expect_401(authorizer_env, {"Authorization": value.replace("{}", made.key.text)})


@pytest.mark.parametrize("letter", ["\t", "\n", "\x00", "é", "\u200b", " "])
def test_rejects_invalid_characters(deployment: Deployment, authorizer_env: AuthorizerEnv, letter: str) -> None:
    made = deployment.onboard()
    assert made.key
    text = made.key.text[:30] + letter + made.key.text[30:]
    expect_401(authorizer_env, bearer(text))
    expect_401(authorizer_env, {"x-api-key": text})
    expect_401(authorizer_env, {"x-api-key": made.key.text + letter})


def test_rejects_repeated_headers(deployment: Deployment, authorizer_env: AuthorizerEnv) -> None:
    made = deployment.onboard()
    assert made.key
    text = f"Bearer {made.key.text}"
    expect_401(authorizer_env, {"Authorization": [text, text]})
    expect_401(authorizer_env, {"Authorization": [text, "Bearer other"]})
    expect_401(authorizer_env, {"Authorization": text, "authorization": text})
    expect_401(authorizer_env, {"x-api-key": [made.key.text, made.key.text]})


def test_rejects_two_different_credentials(deployment: Deployment, authorizer_env: AuthorizerEnv) -> None:
    made = deployment.onboard()
    assert made.key
    assert made.admin
    other = deployment.make_key(made.tenant.id)
    expect_401(authorizer_env, {**bearer(made.key.text), "x-api-key": other.text})
    expect_401(authorizer_env, {**bearer(deployment.make_token(made.admin)), "x-api-key": made.key.text})


def test_rejects_a_token_in_x_api_key(deployment: Deployment, authorizer_env: AuthorizerEnv) -> None:
    made = deployment.onboard()
    assert made.admin
    token = deployment.make_token(made.admin)
    authorizer_env.context(bearer(token))
    expect_401(authorizer_env, {"x-api-key": token})


@pytest.mark.parametrize("length", [8_193, 10_000, 100_000])
def test_rejects_a_long_credential(authorizer_env: AuthorizerEnv, length: int) -> None:
    for text in ("a" * length, "atr_dev_" + "a" * length, "eyJ." + "a" * length + ".x"):
        expect_401(authorizer_env, bearer(text))
        expect_401(authorizer_env, {"x-api-key": text})


def test_rejects_a_changed_character_without_a_read(deployment: Deployment, authorizer_env: AuthorizerEnv) -> None:
    made = deployment.onboard()
    assert made.key
    text = made.key.text
    for at in range(len(text)):
        letter = "A" if text[at] != "A" else "B"
        expect_401(authorizer_env, {"x-api-key": text[:at] + letter + text[at + 1 :]})


def test_rejects_a_key_of_another_environment_without_a_read(
    deployment: Deployment, authorizer_env: AuthorizerEnv
) -> None:
    made = deployment.onboard()
    environments: tuple[Environment, ...] = ("staging", "prod")
    for environment in environments:
        text, _ = mint_key(environment, mint_key_id(deployment.clock()), made.tenant.id)
        expect_401(authorizer_env, bearer(text))


def test_rejects_an_unknown_key(deployment: Deployment, authorizer_env: AuthorizerEnv) -> None:
    made = deployment.onboard()
    assert made.key
    now = deployment.clock()
    for key_id, tenant_id, calls in (
        (mint_key_id(now), made.tenant.id, READ_AND_TOLD),
        (made.key.key.id, made.tenant.id, READ_AND_TOLD),
        (made.key.key.id, mint_tenant_id(now), ONE_READ),
        (made.key.key.id, None, ONE_READ),
    ):
        text, _ = mint_key("dev", key_id, tenant_id)
        expect_401(authorizer_env, bearer(text), calls=calls)


def test_rejects_a_key_record_copied_to_another_tenant(deployment: Deployment, authorizer_env: AuthorizerEnv) -> None:
    made, other = deployment.onboard(), deployment.onboard("other")
    assert made.key
    store = KeyStore(deployment.runtime.tenant_table(other.tenant.id))
    store.create(replace(made.key.key, tenant_id=other.tenant.id))
    assert authorizer_env.context(bearer(made.key.text))["tenant_id"] == made.tenant.id
    text, _ = mint_key("dev", made.key.key.id, other.tenant.id)
    expect_401(authorizer_env, bearer(text), calls=READ_AND_TOLD)


def test_rejects_ended_keys(deployment: Deployment, authorizer_env: AuthorizerEnv) -> None:
    made, now = deployment.onboard(), deployment.clock()
    store = KeyStore(deployment.runtime.tenant_table(made.tenant.id))
    revoked = deployment.make_key(made.tenant.id)
    deleted = deployment.make_key(made.tenant.id)
    expired = deployment.make_key(made.tenant.id, expires_at=now + timedelta(seconds=10))
    store.revoke(revoked.key.id, at=now, now=now)
    store.delete(deleted.key.id)
    for issued in (revoked, deleted):
        expect_401(authorizer_env, bearer(issued.text), calls=READ_AND_TOLD)
    authorizer_env.context(bearer(expired.text))
    deployment.clock.advance(10)
    expect_401(authorizer_env, bearer(expired.text), calls=READ_AND_TOLD)


def test_a_grace_period_ends_despite_the_cache(deployment: Deployment, authorizer_env: AuthorizerEnv) -> None:
    made, now = deployment.onboard(), deployment.clock()
    issued = deployment.make_key(made.tenant.id)
    store = KeyStore(deployment.runtime.tenant_table(made.tenant.id))
    store.revoke(issued.key.id, at=now + timedelta(seconds=20), now=now)
    authorizer_env.context(bearer(issued.text))
    deployment.clock.advance(19)
    authorizer_env.context(bearer(issued.text))
    deployment.clock.advance(1)
    expect_401(authorizer_env, bearer(issued.text), calls=READ_AND_TOLD)


def test_a_revoked_key_ends_within_thirty_seconds(deployment: Deployment, authorizer_env: AuthorizerEnv) -> None:
    made, now = deployment.onboard(), deployment.clock()
    issued = deployment.make_key(made.tenant.id)
    authorizer_env.context(bearer(issued.text))
    KeyStore(deployment.runtime.tenant_table(made.tenant.id)).revoke(issued.key.id, at=now, now=now)
    deployment.clock.advance(verdict.KEPT_SECONDS)
    expect_401(authorizer_env, bearer(issued.text), calls=READ_AND_TOLD)


def test_does_not_cache_a_rejected_credential(deployment: Deployment, authorizer_env: AuthorizerEnv) -> None:
    made = deployment.onboard()
    for _ in range(20):
        text, _said = mint_key("dev", mint_key_id(deployment.clock()), made.tenant.id)
        expect_401(authorizer_env, bearer(text), calls=READ_AND_TOLD)
    assert len(authorizer_env.authorizer.cache) == 0


def test_rejects_an_ended_platform_key(deployment: Deployment, authorizer_env: AuthorizerEnv) -> None:
    text = deployment.make_platform_key()
    store = KeyStore(deployment.runtime.platform_table)
    context = authorizer_env.context(bearer(text))
    now = deployment.clock()
    store.revoke(context["principal_id"], at=now, now=now)
    deployment.clock.advance(verdict.KEPT_SECONDS)
    expect_401(authorizer_env, bearer(text), calls=ONE_READ)


def test_no_credential_is_in_the_log(
    deployment: Deployment, authorizer_env: AuthorizerEnv, capsys: pytest.CaptureFixture[str]
) -> None:
    made = deployment.onboard()
    assert made.key
    assert made.admin
    token = deployment.make_token(made.admin)
    forged = token[:-9] + "AAAAAAAAA"
    for headers, calls in (
        (bearer(made.key.text[:-1] + "~"), []),
        (bearer(forged), READ_AND_TOLD),
        ({"Authorization": token}, []),
    ):
        expect_401(authorizer_env, headers, calls=calls)
    said = capsys.readouterr().out
    assert '"message":"refused"' in said.replace(": ", ":")
    assert "req-1" in said
    for text in (made.key.text, token):
        assert text[20:40] not in said


def test_rejects_an_event_without_headers(authorizer_env: AuthorizerEnv) -> None:
    with pytest.raises(Exception, match=r"^Unauthorized$"):
        answer({"headers": None, "multiValueHeaders": None, "methodArn": "arn:x/dev/GET/"}, authorizer_env.authorizer)
