"""Proven tokens that are refused all the same: who may not come in, and other tenants."""

import pytest
from atrium.identity.providers.model import PROVIDERS_MAX
from atrium.kernel.errors import Conflict
from atrium.storage import keys
from atrium.storage.login import list_logins
from atrium.storage.writes import EXISTS, Update

from functions.authorizer import verdict
from tests.builders.authorizing import bearer
from tests.builders.issuers import AUDIENCE
from tests.integration.foreign_tokens.conftest import Trusting
from tests.integration.foreign_tokens.test_200 import add_user

pytestmark = pytest.mark.loopback


def code(trusting: Trusting, **changes: object) -> str:
    return trusting.authorizer_env.code({**bearer(trusting.token(**changes)), **trusting.headers})


def test_a_suspended_user_stays_out(trusting: Trusting) -> None:
    trusting.trust()
    add_user(trusting, "held@acme.example", status="suspended")
    assert code(trusting, sub="s9", email="held@acme.example") == "USER_SUSPENDED"
    assert trusting.told()[-1][1]["code"] == "USER_SUSPENDED"


def test_a_user_who_is_suspended_later_is_out_within_30_seconds(trusting: Trusting) -> None:
    trusting.trust()
    trusting.context()
    assert trusting.made.admin
    write = Update(keys.user(trusting.made.admin.id), "SET #status = :s", EXISTS, {"s": "suspended"})
    trusting.deployment.runtime.tenant_table(trusting.made.tenant.id).write(write)
    trusting.deployment.clock.advance(verdict.KEPT_SECONDS)
    assert code(trusting) == "USER_SUSPENDED"


def test_a_tenant_that_is_suspended(trusting: Trusting) -> None:
    trusting.trust()
    trusting.deployment.tenants.set_status(trusting.made.tenant.id, "suspended", "")
    assert code(trusting) == "TENANT_INACTIVE"


def test_a_newcomer_of_a_tenant_that_is_deleted_at_that_moment(trusting: Trusting) -> None:
    trusting.trust()
    deployment, tenant_id = trusting.deployment, trusting.made.tenant.id
    write = Update(keys.tenant(), "SET #status = :s", EXISTS, {"s": "deleted"})
    hook = "before-call.dynamodb.TransactWriteItems"

    def delete(**_: object) -> None:
        deployment.runtime.tenant_table(tenant_id).write(write)

    deployment.table.client.meta.events.register(hook, delete)
    try:
        assert code(trusting, sub="s9", email="new@acme.example") == "TENANT_INACTIVE"
    finally:
        deployment.table.client.meta.events.unregister(hook, delete)
    assert list_logins(deployment.table, "new@acme.example", limit=1) == []


def test_another_tenant_that_is_named(trusting: Trusting) -> None:
    trusting.trust()
    other = trusting.deployment.onboard("other")
    trusting.headers = {"X-Tenant-ID": other.tenant.id}
    assert code(trusting) == "TENANT_MISMATCH"


def test_an_email_that_is_none(trusting: Trusting) -> None:
    trusting.trust(provision_users=False)
    claims: list[dict[str, object]] = [{"email_verified": False}, {"email_verified": "false"}, {"email": 7}]
    assert [code(trusting, **each) for each in claims] == ["FORBIDDEN"] * 3
    assert trusting.told()[-1][1]["reason"] == "the subject has no verified email"


def test_a_outsider(trusting: Trusting) -> None:
    trusting.trust(provision_users=False)
    assert code(trusting, email="stranger@else.example", sub="s5") == "FORBIDDEN"
    assert trusting.told()[-1][1]["reason"] == "no user has the subject's email"


def test_another_tenant_cannot_take_the_issuer(trusting: Trusting) -> None:
    """B registers A's issuer: refused, and A's people go where they went."""
    trusting.trust()
    other = trusting.deployment.onboard("other")
    theirs = trusting.service(other)
    wanted = {"name": "mine now", "issuer": trusting.issuer.url, "audience": AUDIENCE}
    with pytest.raises(Conflict):
        theirs.create(wanted)
    assert theirs.store.count(PROVIDERS_MAX) == 0
    assert trusting.context()["tenant_id"] == trusting.made.tenant.id


def test_the_same_issuer_for_another_audience_is_another_door(trusting: Trusting) -> None:
    """B may trust A's issuer for an audience of its own; A's tokens open nothing there, nor B's here."""
    trusting.trust()
    other = trusting.deployment.onboard("other")
    wanted = {"name": "b", "issuer": trusting.issuer.url, "audience": "https://b.example", "provision_users": False}
    trusting.service(other).create(wanted)
    assert trusting.context()["tenant_id"] == trusting.made.tenant.id
    assert code(trusting, aud="https://b.example") == "FORBIDDEN"


def test_a_token_for_two_tenants_needs_one_to_be_named(trusting: Trusting) -> None:
    trusting.trust()
    other = trusting.deployment.onboard("other")
    trusting.service(other).create({"name": "b", "issuer": trusting.issuer.url, "audience": "https://b.example"})
    both = [AUDIENCE, "https://b.example"]
    with pytest.raises(Exception, match=r"^Unauthorized$"):
        trusting.authorizer_env.ask(bearer(trusting.token(aud=both)))
    trusting.headers = {"X-Tenant-ID": trusting.made.tenant.id}
    assert trusting.context(aud=both)["tenant_id"] == trusting.made.tenant.id


def test_a_tenant_that_is_full(trusting: Trusting) -> None:
    """The free plan has five users; the sixth newcomer is refused, and nothing of him is kept."""
    trusting.made = trusting.deployment.onboard("small", "free")
    trusting.trust()
    for at in range(4):
        trusting.context(sub=f"s{at}", email=f"u{at}@small.example")
    assert code(trusting, sub="s9", email="u9@small.example") == "QUOTA_EXCEEDED"
    assert trusting.context(sub="s0", email="u0@small.example")["role"] == "user"
    table = trusting.deployment.table
    assert "u9@small.example" not in str(table.client.scan(TableName=table.name)["Items"])
