"""Valid tokens that are denied: inactive users and tenants, and other tenants."""

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


def test_denies_a_suspended_user(trusting: Trusting) -> None:
    trusting.trust()
    add_user(trusting, "held@acme.example", status="suspended")
    assert code(trusting, sub="s9", email="held@acme.example") == "USER_SUSPENDED"
    assert trusting.told()[-1][1]["code"] == "USER_SUSPENDED"


def test_denies_a_user_within_30_seconds_of_suspension(trusting: Trusting) -> None:
    trusting.trust()
    trusting.context()
    assert trusting.made.admin
    write = Update(keys.user(trusting.made.admin.id), "SET #status = :s", EXISTS, {"s": "suspended"})
    trusting.deployment.runtime.tenant_table(trusting.made.tenant.id).write(write)
    trusting.deployment.clock.advance(verdict.KEPT_SECONDS)
    assert code(trusting) == "USER_SUSPENDED"


def test_denies_a_suspended_tenant(trusting: Trusting) -> None:
    trusting.trust()
    trusting.deployment.tenants.set_status(trusting.made.tenant.id, "suspended", "")
    assert code(trusting) == "TENANT_INACTIVE"


def test_creates_no_user_in_a_tenant_during_its_deletion(trusting: Trusting) -> None:
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


def test_denies_another_named_tenant(trusting: Trusting) -> None:
    trusting.trust()
    other = trusting.deployment.onboard("other")
    trusting.headers = {"X-Tenant-ID": other.tenant.id}
    assert code(trusting) == "TENANT_MISMATCH"


def test_denies_an_invalid_email(trusting: Trusting) -> None:
    trusting.trust(provision_users=False)
    claims: list[dict[str, object]] = [{"email_verified": False}, {"email_verified": "false"}, {"email": 7}]
    assert [code(trusting, **each) for each in claims] == ["FORBIDDEN"] * 3
    assert trusting.told()[-1][1]["reason"] == "the subject has no verified email"


def test_denies_an_unknown_user(trusting: Trusting) -> None:
    trusting.trust(provision_users=False)
    assert code(trusting, email="unknown@else.example", sub="s5") == "FORBIDDEN"
    assert trusting.told()[-1][1]["reason"] == "no user has the subject's email"


def test_another_tenant_cannot_take_the_issuer(trusting: Trusting) -> None:
    """Tenant B's registration of A's issuer is rejected, and A's users remain in A."""
    trusting.trust()
    other = trusting.deployment.onboard("other")
    theirs = trusting.service(other)
    wanted = {"name": "mine now", "issuer": trusting.issuer.url, "audience": AUDIENCE}
    with pytest.raises(Conflict):
        theirs.create(wanted)
    assert theirs.store.count(PROVIDERS_MAX) == 0
    assert trusting.context()["tenant_id"] == trusting.made.tenant.id


def test_separates_audiences_of_one_issuer(trusting: Trusting) -> None:
    """Tenant B may trust A's issuer for another audience. Neither tenant accepts the other tenant's tokens."""
    trusting.trust()
    other = trusting.deployment.onboard("other")
    wanted = {"name": "b", "issuer": trusting.issuer.url, "audience": "https://b.example", "provision_users": False}
    trusting.service(other).create(wanted)
    assert trusting.context()["tenant_id"] == trusting.made.tenant.id
    assert code(trusting, aud="https://b.example") == "FORBIDDEN"


def test_a_token_for_two_tenants_must_name_one(trusting: Trusting) -> None:
    trusting.trust()
    other = trusting.deployment.onboard("other")
    trusting.service(other).create({"name": "b", "issuer": trusting.issuer.url, "audience": "https://b.example"})
    both = [AUDIENCE, "https://b.example"]
    with pytest.raises(Exception, match=r"^Unauthorized$"):
        trusting.authorizer_env.ask(bearer(trusting.token(aud=both)))
    trusting.headers = {"X-Tenant-ID": trusting.made.tenant.id}
    assert trusting.context(aud=both)["tenant_id"] == trusting.made.tenant.id


def test_denies_a_new_user_beyond_the_limit(trusting: Trusting) -> None:
    """The free plan has five users. The sixth new user is rejected and not stored."""
    trusting.made = trusting.deployment.onboard("small", "free")
    trusting.trust()
    for at in range(4):
        trusting.context(sub=f"s{at}", email=f"u{at}@small.example")
    assert code(trusting, sub="s9", email="u9@small.example") == "QUOTA_EXCEEDED"
    assert trusting.context(sub="s0", email="u0@small.example")["role"] == "user"
    table = trusting.deployment.table
    assert "u9@small.example" not in str(table.client.scan(TableName=table.name)["Items"])
