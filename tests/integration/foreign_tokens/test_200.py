"""Tokens of an issuer that a tenant trusts are valid credentials of the tenant's users."""

from typing import Any

import pytest
from atrium.identity.providers import key_finder
from atrium.identity.providers.model import ClaimMapping
from atrium.identity.users.counts import count_admins
from atrium.identity.users.model import User
from atrium.identity.users.store import UserStore
from atrium.kernel.ids import mint_user_id
from atrium.storage import keys
from atrium.storage.writes import EXISTS, Delete

from functions.authorizer import verdict
from tests.builders.authorizing import ONE_READ, bearer
from tests.builders.deployments import counting
from tests.builders.issuers import AUDIENCE, DISCOVERY, KEYS, ec_key, public_jwk, sign
from tests.integration.foreign_tokens.conftest import Trusting, open_authorizer

pytestmark = pytest.mark.loopback


def add_user(trusting: Trusting, email: str, **fields: Any) -> User:
    now = trusting.deployment.clock()
    made = User(
        mint_user_id(now), trusting.made.tenant.id, email, **{"role": "user", "status": "active", **fields},
        created_at=now, updated_at=now,
    )  # fmt: skip
    UserStore(trusting.deployment.runtime.tenant_table(trusting.made.tenant.id)).create(made)
    return made


def test_links_a_user_by_email_and_then_uses_the_subject(trusting: Trusting) -> None:
    trusting.trust()
    assert trusting.made.admin
    context = trusting.context()
    assert (context["principal_type"], context["principal_id"]) == ("user", trusting.made.admin.id)
    assert (context["tenant_id"], context["role"]) == (trusting.made.tenant.id, "admin")
    assert trusting.context(email="else@acme.example")["principal_id"] == trusting.made.admin.id
    assert [(kind, told["how"]) for kind, told in trusting.told()] == [("auth.login", "linked")]


def test_ignores_whitespace_around_the_email(trusting: Trusting) -> None:
    trusting.trust()
    assert trusting.made.admin
    assert trusting.context(email=f" {trusting.made.admin.email}\n")["principal_id"] == trusting.made.admin.id


def test_caches_the_issuers_keys(trusting: Trusting) -> None:
    trusting.trust()
    trusting.context()
    assert trusting.issuer.asked == [DISCOVERY, KEYS]
    with counting(trusting.deployment.table) as calls:
        trusting.context()
    assert calls == []  # the decision is cached
    trusting.deployment.clock.advance(verdict.KEPT_SECONDS)
    with counting(trusting.deployment.table) as calls:
        trusting.context()
    assert calls == ONE_READ  # one batch read of tenant, provider, external identity and user
    assert trusting.issuer.asked == [DISCOVERY, KEYS]


def test_costs_three_reads_first_and_one_afterwards(trusting: Trusting) -> None:
    trusting.trust()
    trusting.context()
    trusting.authorizer_env = open_authorizer(trusting.deployment)
    for reads in (3, 1, 1):
        with counting(trusting.deployment.table) as calls:
            trusting.context()
        # First the registration of the issuer is read, then all items except the user, then the user.
        assert calls == ONE_READ * reads
        trusting.deployment.clock.advance(verdict.KEPT_SECONDS)


def test_ignores_an_outdated_cached_user(trusting: Trusting) -> None:
    trusting.trust()
    first = add_user(trusting, "ann@acme.example")
    assert trusting.context(sub="ann", email="ann@acme.example")["principal_id"] == first.id
    runtime = trusting.deployment.runtime
    runtime.tenant_table(trusting.made.tenant.id).write(Delete(keys.user(first.id), EXISTS))
    second = add_user(trusting, "ann.two@acme.example")
    trusting.deployment.clock.advance(verdict.KEPT_SECONDS)
    assert trusting.context(sub="ann", email="ann.two@acme.example")["principal_id"] == second.id


def test_another_container_reads_the_keys_from_the_table(trusting: Trusting) -> None:
    trusting.trust()
    trusting.context()
    trusting.authorizer_env = open_authorizer(trusting.deployment)
    trusting.context()
    assert trusting.issuer.asked == [DISCOVERY, KEYS]


def test_a_jwks_uri_needs_no_discovery(trusting: Trusting) -> None:
    trusting.trust(jwks_uri=f"{trusting.issuer.url}{KEYS}")
    trusting.context()
    assert trusting.issuer.asked == [KEYS]


ROLES: list[tuple[Any, str]] = [
    ("atrium-admins", "admin"),
    (["x", "readers", "atrium-admins"], "admin"),
    (["readers"], "viewer"),
    (["others"], "user"),
    ({"admin": True}, "user"),
    (None, "user"),
]


def test_uses_the_widest_mapped_role(trusting: Trusting) -> None:
    mapping = {"atrium-admins": "admin", "readers": "viewer"}
    trusting.trust(claim_mapping=ClaimMapping(role="realm.groups"), role_mapping=mapping)
    for groups, role in ROLES:
        assert trusting.context(realm={"groups": groups})["role"] == role


def test_accepts_token_formats(trusting: Trusting) -> None:
    trusting.trust()
    for audience in (AUDIENCE, [AUDIENCE], ["other", AUDIENCE]):
        for kind in ("JWT", "jwt", "at+jwt", "application/at+jwt", None):
            trusting.context(aud=audience, headers={"typ": kind})


def test_a_key_of_another_kind_and_a_token_without_kid(trusting: Trusting) -> None:
    trusting.trust()
    trusting.issuer.published = {"curve": public_jwk(ec_key("curve"), "curve")}
    claims = trusting.issuer.claims(trusting.deployment.clock())
    for headers in ({"kid": "curve"}, {}):
        trusting.authorizer_env.context(bearer(sign(claims, ec_key("curve"), headers, "ES256")))


def test_reads_rotated_keys(trusting: Trusting) -> None:
    trusting.trust()
    trusting.context()
    del trusting.issuer.published["one"]
    trusting.issuer.publish("two")
    trusting.deployment.clock.advance(30)
    trusting.context(kid="two")
    assert trusting.issuer.asked.count(KEYS) == 2


def test_refreshes_keys_hourly_and_survives_an_outage(trusting: Trusting) -> None:
    trusting.trust()
    trusting.context()
    trusting.issuer.scripts[DISCOVERY] = lambda handler: handler.connection.close()
    trusting.deployment.clock.advance(3_600)
    trusting.context()
    assert trusting.issuer.asked.count(DISCOVERY) == 2
    trusting.deployment.clock.advance(10)
    trusting.context(sid="another token")
    assert trusting.issuer.asked.count(DISCOVERY) == 2
    del trusting.issuer.scripts[DISCOVERY]
    trusting.deployment.clock.advance(30)
    trusting.context()
    assert trusting.issuer.asked.count(KEYS) == 2


def test_activates_an_invited_user(trusting: Trusting) -> None:
    trusting.trust()
    invited = add_user(trusting, "invited@acme.example", status="invited")
    assert trusting.context(sub="s2", email="Invited@ACME.example")["principal_id"] == invited.id
    table = trusting.deployment.runtime.tenant_table(trusting.made.tenant.id)
    kept = UserStore(table).get(invited.id)
    assert kept
    assert (kept.status, kept.one_time_token) == ("active", None)


def test_an_activated_admin_counts_as_admin(trusting: Trusting) -> None:
    trusting.trust()
    add_user(trusting, "invited@acme.example", status="invited", role="admin")
    table = trusting.deployment.runtime.tenant_table(trusting.made.tenant.id)
    assert count_admins(table) == 1
    trusting.context(sub="s2", email="invited@acme.example")
    assert count_admins(table) == 2


def test_the_key_cache_is_bounded(trusting: Trusting) -> None:
    finder = trusting.authorizer_env.authorizer._foreign.finder
    trusting.trust()
    trusting.context()
    assert 0 < len(finder._kept) <= key_finder.ENTRIES_MAX


def test_accepts_the_named_tenant(trusting: Trusting) -> None:
    trusting.trust()
    trusting.headers = {"X-Tenant-ID": trusting.made.tenant.id}
    trusting.context()


def test_creates_a_new_user_once(trusting: Trusting) -> None:
    trusting.trust(claim_mapping=ClaimMapping(role="group"), role_mapping={"readers": "viewer"})
    context = trusting.context(sub="new", email="new@acme.example", name="New  Comer\n", group="readers")
    assert (context["principal_name"], context["role"]) == ("New Comer", "viewer")
    kept = UserStore(trusting.deployment.runtime.tenant_table(trusting.made.tenant.id)).find("new@acme.example")
    assert kept
    assert (kept.id, kept.role, kept.status) == (context["principal_id"], "viewer", "active")
    again = trusting.context(sub="new", email="other@acme.example", group="others")
    assert (again["principal_id"], again["role"]) == (kept.id, "user")
    assert [told["how"] for _, told in trusting.told()] == ["provisioned"]
