"""Valid credentials: the context that the authorizer returns, and the number of table calls."""

import json
from datetime import timedelta

import pytest
from atrium.identity.keys.store import KeyStore
from atrium.identity.scopes import TENANT_SCOPES

from functions.authorizer import verdict
from functions.authorizer.app import answer, handler
from tests.builders.authorizing import AuthorizerEnv, authorizer_event, bearer
from tests.builders.deployments import Deployment, counting
from tests.builders.refusals import refusing


def test_a_tenants_key(deployment: Deployment, authorizer_env: AuthorizerEnv) -> None:
    made = deployment.onboard("acme", "pro")
    assert made.key
    context = authorizer_env.context(bearer(made.key.text))
    assert context == {
        "principal_type": "key",
        "principal_id": made.key.key.id,
        "principal_name": "first key",
        "role": "",
        "scopes": " ".join(sorted(TENANT_SCOPES)),
        "tenant_id": made.tenant.id,
        "tenant_name": "acme",
        "plan": "pro",
        "config_version": 1,
        "features": "",
        "audits_all": False,
        "prompt_injection": "flag",
    }


@pytest.mark.parametrize("name", ["x-api-key", "X-API-Key", "X-Api-Key"])
def test_a_key_in_x_api_key(deployment: Deployment, authorizer_env: AuthorizerEnv, name: str) -> None:
    made = deployment.onboard()
    assert made.key
    assert authorizer_env.context({name: made.key.text})["principal_id"] == made.key.key.id


@pytest.mark.parametrize("value", ["Bearer {}", "bearer {}", "BEARER {}", "Bearer   {}", "Bearer {} "])
@pytest.mark.parametrize("name", ["Authorization", "authorization", "AUTHORIZATION"])
def test_a_key_as_bearer(deployment: Deployment, authorizer_env: AuthorizerEnv, name: str, value: str) -> None:
    made = deployment.onboard()
    assert made.key
    assert authorizer_env.context({name: value.format(made.key.text)})["principal_id"] == made.key.key.id


def test_accepts_the_same_key_in_both_headers(deployment: Deployment, authorizer_env: AuthorizerEnv) -> None:
    made = deployment.onboard()
    assert made.key
    assert authorizer_env.context({**bearer(made.key.text), "x-api-key": made.key.text})["tenant_id"] == made.tenant.id


def test_an_event_with_single_value_headers(deployment: Deployment, authorizer_env: AuthorizerEnv) -> None:
    made = deployment.onboard()
    assert made.key
    event = authorizer_event(bearer(made.key.text)) | {"multiValueHeaders": None}
    assert answer(event, authorizer_env.authorizer)["principalId"] == made.key.key.id


def test_a_users_token(deployment: Deployment, authorizer_env: AuthorizerEnv) -> None:
    made = deployment.onboard()
    assert made.admin
    context = authorizer_env.context(bearer(deployment.make_token(made.admin)))
    assert (context["principal_type"], context["principal_id"]) == ("user", made.admin.id)
    assert (context["role"], context["tenant_id"]) == ("admin", made.tenant.id)


def test_accepts_the_tenants_own_id(deployment: Deployment, authorizer_env: AuthorizerEnv) -> None:
    made = deployment.onboard()
    assert made.key
    for headers in ({"X-Tenant-ID": made.tenant.id}, {"x-tenant-id": ""}):
        assert authorizer_env.context({**bearer(made.key.text), **headers})["tenant_id"] == made.tenant.id


def test_a_platform_key_with_and_without_a_tenant(deployment: Deployment, authorizer_env: AuthorizerEnv) -> None:
    made, key = deployment.onboard(), deployment.make_platform_key()
    alone = authorizer_env.context(bearer(key))
    assert (alone["principal_type"], alone["scopes"]) == ("platform", "platform")
    assert "tenant_id" not in alone
    inside = authorizer_env.context({**bearer(key), "X-Tenant-ID": made.tenant.id})
    assert (inside["principal_type"], inside["tenant_id"], inside["plan"]) == ("platform", made.tenant.id, "pro")


def test_a_platform_key_uses_the_default_tenant(deployment: Deployment) -> None:
    made, other, key = deployment.onboard(), deployment.onboard("other"), deployment.make_platform_key()
    authorizer_env = AuthorizerEnv(deployment, DEFAULT_TENANT=made.tenant.id)
    assert authorizer_env.context(bearer(key))["tenant_id"] == made.tenant.id
    assert authorizer_env.context({**bearer(key), "X-Tenant-ID": other.tenant.id})["tenant_id"] == other.tenant.id
    deployment.tenants.delete(made.tenant.id)
    deployment.clock.advance(verdict.KEPT_SECONDS)
    assert "tenant_id" not in authorizer_env.context(bearer(key))


def test_passes_features_of_the_settings(deployment: Deployment, authorizer_env: AuthorizerEnv) -> None:
    made = deployment.onboard()
    assert made.key
    deployment.tenants.change(made.tenant.id, {"settings": {"features": {"beta": True, "gone": False}}})
    context = authorizer_env.context(bearer(made.key.text))
    assert (context["features"], context["config_version"]) == ("beta", 2)


def test_no_credential_is_in_the_answer(
    deployment: Deployment, authorizer_env: AuthorizerEnv, capsys: pytest.CaptureFixture[str]
) -> None:
    made = deployment.onboard()
    assert made.key
    assert made.admin
    token = deployment.make_token(made.admin)
    for text in (made.key.text, token):
        assert text[20:] not in json.dumps(authorizer_env.ask(bearer(text)))
        assert text[20:] not in capsys.readouterr().out


def test_costs_one_batch_read_and_none_while_cached(deployment: Deployment, authorizer_env: AuthorizerEnv) -> None:
    made = deployment.onboard()
    assert made.key
    assert made.admin
    authorizer_env.ask(bearer(made.key.text))
    deployment.clock.advance(verdict.KEPT_SECONDS)
    for text in (made.key.text, deployment.make_token(made.admin)):
        with counting(deployment.table) as calls:
            for _ in range(5):
                authorizer_env.ask(bearer(text))
        assert calls == ["BatchGetItem"]
    deployment.clock.advance(verdict.KEPT_SECONDS - 1)
    with counting(deployment.table) as calls:
        authorizer_env.ask(bearer(made.key.text))
        assert calls == []
        deployment.clock.advance(1)
        authorizer_env.ask(bearer(made.key.text))
    assert calls[0] == "BatchGetItem"


def test_the_cache_is_bounded(
    deployment: Deployment, authorizer_env: AuthorizerEnv, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verdict, "ENTRIES_MAX", 3)
    authorizer_env.authorizer.cache = verdict.new_verdict_cache(deployment.clock)
    made = deployment.onboard()
    texts = [deployment.make_key(made.tenant.id).text for _ in range(5)]
    for text in texts:
        authorizer_env.ask(bearer(text))
    assert len(authorizer_env.authorizer.cache) == 3
    with counting(deployment.table) as calls:
        authorizer_env.ask(bearer(texts[4]))
        assert calls == []
        authorizer_env.ask(bearer(texts[0]))
        assert calls == ["BatchGetItem"]


def test_records_the_last_use_once_a_minute(deployment: Deployment, authorizer_env: AuthorizerEnv) -> None:
    made = deployment.onboard()
    assert made.key
    store = KeyStore(deployment.runtime.tenant_table(made.tenant.id))
    first = deployment.clock()
    with counting(deployment.table) as calls:
        for _ in range(5):
            authorizer_env.ask(bearer(made.key.text))
            deployment.clock.advance(verdict.KEPT_SECONDS / 2)
    assert calls.count("UpdateItem") == 2
    noted = store.get(made.key.key.id)
    assert noted
    assert noted.last_used_at == first + timedelta(seconds=60)


def test_two_containers_record_the_last_use_once(deployment: Deployment, authorizer_env: AuthorizerEnv) -> None:
    made = deployment.onboard()
    assert made.key
    authorizer_env.ask(bearer(made.key.text))
    noted = KeyStore(deployment.runtime.tenant_table(made.tenant.id)).get(made.key.key.id)
    with counting(deployment.table) as calls:
        AuthorizerEnv(deployment).ask(bearer(made.key.text))
    assert calls == ["BatchGetItem"]
    assert noted
    assert noted.last_used_at == deployment.clock()


@pytest.mark.parametrize("code", ["ThrottlingException", "AccessDeniedException"])
def test_admits_a_key_if_its_last_use_cannot_be_recorded(
    deployment: Deployment, authorizer_env: AuthorizerEnv, code: str
) -> None:
    made = deployment.onboard()
    assert made.key
    with refusing(deployment.table, "UpdateItem", code) as refused:
        assert authorizer_env.context(bearer(made.key.text))["tenant_id"] == made.tenant.id
    assert len(refused) == 1


def test_the_handler_reads_its_environment(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    from atrium.bootstrap import runtime

    from functions.authorizer import app

    made = deployment.onboard()
    assert made.key
    for name, value in {
        "TABLE_NAME": deployment.table.name,
        "PEPPER_SECRET_ARN": deployment.arns.pepper,
        "ATRIUM_ENVIRONMENT": "dev",
    }.items():
        monkeypatch.setenv(name, value)
    runtime.cache_clear()
    app._authorizer.cache_clear()
    runtime().__dict__["table"] = deployment.table
    # The key was created at noon by the tests' clock. The function uses the real clock.
    policy = handler(authorizer_event(bearer(made.key.text)), None)
    assert policy["principalId"] == made.key.key.id
    runtime.cache_clear()
    app._authorizer.cache_clear()
