"""Rejected credentials are logged and recorded in the audit of the named tenant, without the credential."""

import threading
from typing import Any

import pytest
from atrium.audit import bound
from atrium.audit.model import AuditEvent
from atrium.audit.query import make_query
from atrium.audit.store import AuditStore
from atrium.identity.key_format import mint_key
from atrium.identity.keys.store import KeyStore
from atrium.identity.onboarding import Onboarded
from atrium.kernel.ids import mint_key_id, mint_tenant_id
from atrium.storage import keys
from atrium.storage.table import PhysicalTable
from atrium.storage.writes import EXISTS, Update

from functions.authorizer import auth_failures
from tests.builders.attacks import Forger
from tests.builders.authorizing import ONE_READ, READ_AND_TOLD, AuthorizerEnv, bearer, expect_401
from tests.builders.deployments import Deployment, counting
from tests.builders.refusals import refusing


def refusals_of(deployment: Deployment, made: Onboarded) -> list[AuditEvent]:
    """Return the events of rejected credentials in the tenant's audit, oldest first."""
    now = deployment.clock()
    store = AuditStore(deployment.runtime.tenant_table(made.tenant.id))
    return [each for each in store.list_all(make_query(now=now), now=now) if each.type == "auth.refuse"][::-1]


def everything(table: PhysicalTable) -> str:
    return str(table.client.scan(TableName=table.name)["Items"])


def make_forger(deployment: Deployment, made: Onboarded) -> Forger:
    assert made.admin
    return Forger(deployment.make_token(made.admin), deployment.runtime.secrets.signing_keys()[0])


def test_records_every_forgery(
    deployment: Deployment, authorizer_env: AuthorizerEnv, capsys: pytest.CaptureFixture[str]
) -> None:
    made, other = deployment.onboard(), deployment.onboard("other")
    for attack in make_forger(deployment, made).attacks():
        deployment.clock.advance(0.01)
        before, stored = len(refusals_of(deployment, made)), everything(deployment.table)
        with pytest.raises(Exception, match=r"^Unauthorized$"):
            authorizer_env.ask(bearer(attack.text) | {"user-agent": f"agent {attack.text}"})
        events = refusals_of(deployment, made)[before:]
        assert [event.details["code"] for event in events] == (["UNAUTHENTICATED"] if attack.names_tenant else []), (
            attack.name
        )
        assert all((each.origin.ip, each.origin.request_id) == ("203.0.113.7", "req-1") for each in events)
        if not attack.names_tenant:
            assert everything(deployment.table) == stored, attack.name
        said = capsys.readouterr().out
        assert '"refused"' in said
        assert "CredentialsRefused" in said
        assert "RefusalsUntold" not in said, attack.name
        for secret in attack.text.split("."):
            assert len(secret) < 20 or secret[:20] not in said + everything(deployment.table), attack.name
    assert refusals_of(deployment, other) == []


def test_records_rejected_keys(deployment: Deployment, authorizer_env: AuthorizerEnv) -> None:
    made, now = deployment.onboard(), deployment.clock()
    revoked, store = deployment.make_key(made.tenant.id), KeyStore(deployment.runtime.tenant_table(made.tenant.id))
    store.revoke(revoked.key.id, at=now, now=now)
    unknown, _ = mint_key("dev", mint_key_id(now), made.tenant.id)
    wrong, _ = mint_key("dev", revoked.key.id, made.tenant.id)
    for text in (revoked.text, unknown, wrong):
        deployment.clock.advance(0.01)
        expect_401(authorizer_env, {"x-api-key": text}, calls=READ_AND_TOLD)
    common = {"by": "key", "code": "UNAUTHENTICATED"}
    assert [event.details for event in refusals_of(deployment, made)] == [
        common | {"key": revoked.key.id, "reason": "the key is revoked"},
        common | {"reason": "unknown key"},
        common | {"key": revoked.key.id, "reason": "the key does not match its record"},
    ]
    assert all(text[30:50] not in everything(deployment.table) for text in (revoked.text, unknown, wrong))


def test_names_a_verified_principal(deployment: Deployment, authorizer_env: AuthorizerEnv) -> None:
    made = deployment.onboard()
    assert made.admin
    assert made.key
    token, table = deployment.make_token(made.admin), deployment.runtime.tenant_table(made.tenant.id)
    headers = bearer(made.key.text) | {"x-tenant-id": mint_tenant_id(deployment.clock())}
    assert authorizer_env.code(headers) == "TENANT_MISMATCH"
    deployment.clock.advance(1)
    table.write(Update(keys.user(made.admin.id), "SET #status = :gone", EXISTS, {"gone": "suspended"}))
    assert authorizer_env.code(bearer(token)) == "USER_SUSPENDED"
    table.write(Update(keys.user(made.admin.id), "SET #token_version = :two", EXISTS, {"two": 2}))
    deployment.clock.advance(60)
    expect_401(authorizer_env, bearer(token), calls=READ_AND_TOLD)
    deployment.clock.advance(1)
    platform = bearer(deployment.make_platform_key()) | {"x-tenant-id": made.tenant.id}
    deployment.tenants.set_status(made.tenant.id, "suspended", "")
    assert authorizer_env.code(platform) == "TENANT_INACTIVE"
    events = refusals_of(deployment, made)
    principals = [event.origin.principal.partition(":")[0] for event in events]
    assert principals == ["key", "user", "user", "platform"]
    assert [event.details["code"] for event in events] == [
        "TENANT_MISMATCH", "USER_SUSPENDED", "UNAUTHENTICATED", "TENANT_INACTIVE",
    ]  # fmt: skip


def test_records_once_per_credential_reason_and_minute(deployment: Deployment, authorizer_env: AuthorizerEnv) -> None:
    made = deployment.onboard()
    text, _ = mint_key("dev", mint_key_id(deployment.clock()), made.tenant.id)
    expect_401(authorizer_env, bearer(text), calls=READ_AND_TOLD)
    for _ in range(5):
        expect_401(authorizer_env, bearer(text), calls=ONE_READ)
    deployment.clock.advance(60)
    expect_401(authorizer_env, bearer(text), calls=READ_AND_TOLD)
    assert len(refusals_of(deployment, made)) == 2


def test_bounds_the_records_of_a_tenant(
    deployment: Deployment, authorizer_env: AuthorizerEnv, capsys: pytest.CaptureFixture[str]
) -> None:
    made, other = deployment.onboard(), deployment.onboard("other")
    with counting(deployment.table) as calls:
        for _ in range(bound.OF_TENANT_MAX + 5):
            text, _said = mint_key("dev", mint_key_id(deployment.clock()), made.tenant.id)
            with pytest.raises(Exception, match=r"^Unauthorized$"):
                authorizer_env.ask(bearer(text))
    assert calls.count("PutItem") == bound.OF_TENANT_MAX
    assert capsys.readouterr().out.count('"RefusalsUntold":') == 5
    text, _ = mint_key("dev", mint_key_id(deployment.clock()), other.tenant.id)
    expect_401(authorizer_env, bearer(text), calls=READ_AND_TOLD)


def test_unknown_tenants_do_not_use_up_the_bound(deployment: Deployment, authorizer_env: AuthorizerEnv) -> None:
    made = deployment.onboard()
    forger, now = make_forger(deployment, made), deployment.clock()
    for at in range(bound.AT_ALL_MAX + 3):
        text = forger.sign({"tenant_id": mint_tenant_id(now), "exp": 1})
        expect_401(authorizer_env, bearer(text), calls=ONE_READ if at < bound.AT_ALL_MAX else [])
    text, _ = mint_key("dev", mint_key_id(now), made.tenant.id)
    expect_401(authorizer_env, bearer(text), calls=READ_AND_TOLD)


@pytest.mark.parametrize("code", ["ThrottlingException", "AccessDeniedException"])
def test_a_failed_record_does_not_change_the_answer(
    deployment: Deployment, authorizer_env: AuthorizerEnv, code: str, capsys: pytest.CaptureFixture[str]
) -> None:
    made = deployment.onboard()
    text, _ = mint_key("dev", mint_key_id(deployment.clock()), made.tenant.id)
    with refusing(deployment.table, "PutItem", code), pytest.raises(Exception, match=r"^Unauthorized$"):
        authorizer_env.ask(bearer(text))
    said = capsys.readouterr().out
    assert "a refusal is not in its tenant's audit" in said
    assert '"RefusalsUntold":' in said
    assert refusals_of(deployment, made) == []


def test_does_not_wait_for_a_slow_table(
    deployment: Deployment, authorizer_env: AuthorizerEnv, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = deployment.onboard()
    monkeypatch.setattr(auth_failures, "WAIT_SECONDS_MAX", 0.01)

    answered = threading.Event()

    def wait(**_: Any) -> None:
        answered.wait(60)

    deployment.table.client.meta.events.register("before-call.dynamodb.PutItem", wait)
    text, _ = mint_key("dev", mint_key_id(deployment.clock()), made.tenant.id)
    try:
        with pytest.raises(Exception, match=r"^Unauthorized$"):
            authorizer_env.ask(bearer(text))
        assert refusals_of(deployment, made) == []
    finally:
        [writer] = [thread for thread in threading.enumerate() if thread.name == "report-refusal"]
        answered.set()
        writer.join(60)
        deployment.table.client.meta.events.unregister("before-call.dynamodb.PutItem", wait)
    assert len(refusals_of(deployment, made)) == 1


def test_uses_no_quota(deployment: Deployment, authorizer_env: AuthorizerEnv) -> None:
    made = deployment.onboard()

    def all_but_the_audit() -> list[str]:
        items = deployment.table.client.scan(TableName=deployment.table.name)["Items"]
        return sorted(str(item) for item in items if "#AUDIT#" not in str(item["pk"]))

    before = all_but_the_audit()
    for attack in make_forger(deployment, made).attacks():
        with pytest.raises(Exception, match=r"^Unauthorized$"):
            authorizer_env.ask(bearer(attack.text))
    assert all_but_the_audit() == before
    assert refusals_of(deployment, made)
