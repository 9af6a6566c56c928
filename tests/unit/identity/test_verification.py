"""Access decisions about a credential, based on items of the table."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from atrium.identity.key_format import EncodedKey, parse_key
from atrium.identity.keys.issue import issue_key
from atrium.identity.keys.model import ApiKey
from atrium.identity.tokens import AccessClaims, build_claims
from atrium.identity.users.model import User
from atrium.identity.verification import (
    Decision,
    Refused,
    VerifiedCredential,
    choose_tenant,
    decide_key,
    decide_platform_key,
    decide_token,
    enter_tenant,
)
from atrium.kernel.errors import AtriumError, TenantInactive, TenantMismatch, Unauthenticated, UserSuspended
from atrium.kernel.ids import TenantId, UserId
from atrium.storage.secrets import Pepper
from atrium.tenants.model import Tenant

from tests.builders.gateway import OTHER_TENANT_ID, TENANT_ID
from tests.builders.runtimes import NOON

PEPPER = Pepper(1, b"p" * 32)
OTHER_PEPPER = Pepper(2, b"q" * 32)
TENANT = Tenant(TenantId(TENANT_ID), "acme", "Acme", "pro", "active", NOON, NOON)
USER = User(UserId("usr_01k6r5m2x8f3v9q4w7t1y0z5ae"), TENANT.id, "a@b.example", "user", "active", NOON, NOON)


def find_pepper(version: int) -> Pepper:
    return {1: PEPPER, 2: OTHER_PEPPER}[version]


def make(tenant_id: TenantId | None = TENANT.id, **changes: Any) -> tuple[EncodedKey, ApiKey]:
    issued = issue_key("dev", PEPPER, tenant_id=tenant_id, name="n", scopes=["chat"], now=NOON)
    said = parse_key(issued.text, "dev")
    assert said is not None
    return said, replace(issued.key, **changes)


def decide(said: EncodedKey, key: ApiKey | None, tenant: Tenant | None = TENANT) -> Decision:
    return decide_key(said, key, tenant, find_pepper=find_pepper, now=NOON)


def failure(decision: Decision) -> type[AtriumError]:
    assert isinstance(decision, Refused)
    return decision.failure


def test_admits_a_valid_key_until_it_expires() -> None:
    said, key = make(expires_at=NOON + timedelta(hours=1), revoked_at=NOON + timedelta(minutes=5))
    decision = decide(said, key)
    assert isinstance(decision, VerifiedCredential)
    assert (decision.principal.type, decision.principal.scopes) == ("key", frozenset({"chat"}))
    assert decision.ends_at == NOON + timedelta(minutes=5)


@pytest.mark.parametrize(
    "changes",
    [
        {"digest": b"\0" * 32},
        {"pepper_version": 2},
        {"expires_at": NOON},
        {"revoked_at": NOON},
        {"revoked_at": NOON - timedelta(days=1), "expires_at": NOON + timedelta(days=1)},
    ],
)
def test_rejects_keys_that_ended(changes: dict[str, Any]) -> None:
    said, key = make(**changes)
    assert failure(decide(said, key)) is Unauthenticated


def test_rejects_unknown_keys_and_keys_without_tenant() -> None:
    said, key = make()
    assert failure(decide(said, None)) is Unauthenticated
    assert failure(decide(said, key, None)) is Unauthenticated


def test_rejects_a_key_with_another_keys_record() -> None:
    said, _ = make()
    _, other = make()
    assert failure(decide(said, other)) is Unauthenticated


@pytest.mark.parametrize("changes", [{"status": "suspended"}, {"status": "deleted"}, {"opening": "mark"}])
def test_reveals_the_tenants_status_only_to_a_valid_key(changes: dict[str, Any]) -> None:
    said, key = make()
    tenant = replace(TENANT, **changes)
    refused = decide(said, key, tenant)
    assert failure(refused) is TenantInactive
    assert isinstance(refused, Refused)
    assert refused.principal_id == key.id
    assert failure(decide(said, replace(key, digest=b"\0" * 32), tenant)) is Unauthenticated


def test_a_platform_key_is_the_platform() -> None:
    said, key = make(tenant_id=None)
    decision = decide_platform_key(said, key, find_pepper=find_pepper, now=NOON)
    assert isinstance(decision, VerifiedCredential)
    assert (decision.principal.type, decision.tenant) == ("platform", None)
    assert decision.principal.scopes == {"platform"}
    entered = enter_tenant(decision, TENANT)
    assert isinstance(entered, VerifiedCredential)
    assert entered.tenant == TENANT
    assert failure(enter_tenant(decision, None)) is TenantInactive
    assert failure(enter_tenant(decision, replace(TENANT, status="suspended"))) is TenantInactive
    revoked = replace(key, revoked_at=NOON)
    assert failure(decide_platform_key(said, revoked, find_pepper=find_pepper, now=NOON)) is Unauthenticated
    assert failure(decide_platform_key(said, None, find_pepper=find_pepper, now=NOON)) is Unauthenticated


def test_a_tenants_credential_may_name_only_its_own_tenant() -> None:
    said, key = make()
    decision = decide(said, key)
    assert choose_tenant(decision, "") == choose_tenant(decision, TENANT_ID) == decision
    for other in (OTHER_TENANT_ID, "nonsense", f"{TENANT_ID},{TENANT_ID}"):
        assert failure(choose_tenant(decision, other)) is TenantMismatch
    refused = decide(said, None)
    assert choose_tenant(refused, OTHER_TENANT_ID) == refused


def claims(**changes: Any) -> AccessClaims:
    built = build_claims(USER.id, TENANT.id, token_version=1, tenant_token_version=1, token_id="t", now=NOON)
    return replace(built, **changes)


def test_a_users_token_has_its_roles_scopes() -> None:
    decision = decide_token(claims(), USER, TENANT, None)
    assert isinstance(decision, VerifiedCredential)
    assert (decision.principal.type, decision.principal.role) == ("user", "user")
    assert decision.principal.has("chat")
    assert not decision.principal.has("admin")
    assert decision.ends_at == NOON + timedelta(minutes=15)


def test_a_token_can_only_narrow_its_users_scopes() -> None:
    narrow = decide_token(claims(scopes=frozenset({"chat", "admin", "platform"})), USER, TENANT, None)
    assert isinstance(narrow, VerifiedCredential)
    assert narrow.principal.scopes == {"chat"}


@pytest.mark.parametrize(
    ("user", "tenant", "expected"),
    [
        (None, TENANT, Unauthenticated),
        (USER, None, Unauthenticated),
        (replace(USER, token_version=2), TENANT, Unauthenticated),
        (USER, replace(TENANT, token_version=2), Unauthenticated),
        (USER, replace(TENANT, status="suspended"), TenantInactive),
        (USER, replace(TENANT, status="deleted"), TenantInactive),
        (replace(USER, status="suspended"), TENANT, UserSuspended),
        (replace(USER, status="invited"), TENANT, UserSuspended),
    ],
)
def test_a_token_against_user_and_tenant(user: User | None, tenant: Tenant | None, expected: object) -> None:
    assert failure(decide_token(claims(), user, tenant, None)) is expected
