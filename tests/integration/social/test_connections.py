"""Connections: how they are created, listed, refreshed and deleted. Each connection is visible only to its user."""

from typing import Any

import pytest
from atrium.identity.connections.service import ConnectionService
from atrium.identity.connections.store import LEASE_SECONDS, ConnectionStore
from atrium.identity.connections.tokens import ConnectionTokens
from atrium.identity.social.descriptions import ProviderName
from atrium.identity.social.service import ClientKeeper
from atrium.identity.social.state import StateSealer
from atrium.identity.social.store import SocialClientStore
from atrium.kernel.errors import ConnectionExpired, NotFound, ProviderFailed, Unavailable
from atrium.kernel.ids import TenantId
from atrium.storage.secret_encryption import DecryptionFailed
from atrium.tenants.auditing import open_audit
from atrium.tenants.context import Caller, Principal, TenantContext

from tests.builders.issuers import say
from tests.builders.wires import Outage, intercepted
from tests.integration.social.conftest import BACK, ApiEnv

pytestmark = pytest.mark.loopback

OWNER = "usr_01k6r5m2x8f3v9q4w7t1y0z5af"
OTHER = "usr_01k6r5m2x8f3v9q4w7t1y0z5ag"


def connect(api_env: ApiEnv, name: str = "google", **query: Any) -> dict[str, Any]:
    user = api_env.user()
    begun = user.get(f"/v1/connections/{name}/authorize", params=query).json()
    back = api_env.consent(begun["authorization_url"])
    answer = user.get(f"/v1/connections/{name}/callback", params=back)
    assert answer.status_code == 200, answer.text
    made: dict[str, Any] = answer.json()
    return made


def service(api_env: ApiEnv, owner: str = OWNER) -> ConnectionService:
    tenant = api_env.tenant.tenant
    caller = Caller(Principal("user", owner, "u", frozenset({"chat"}), "user"), "req-1")
    context = TenantContext(tenant.id, tenant.name, tenant.plan, 1, caller)
    table = api_env.runtime.tenant_table(tenant.id)
    encryption, audit = api_env.runtime.secret_encryption(tenant.id), open_audit(context, table, api_env.clock)
    sealer = StateSealer(api_env.runtime.secrets)
    return ConnectionService(context, ConnectionStore(table), encryption, audit, sealer, api_env.clock)


def tokens(api_env: ApiEnv, owner: str = OWNER) -> ConnectionTokens:
    runtime, mine = api_env.runtime, service(api_env, owner)
    keeper = ClientKeeper(SocialClientStore(mine.store.table), mine.encryption, runtime.secrets.platform_client)
    return ConnectionTokens(
        mine.context, mine.store, keeper, runtime.egress, api_env.clock, api_env.provider.url, lambda _: None
    )


@pytest.mark.parametrize("name", ["google", "github", "slack"])
def test_connected_used_refreshed_and_forgotten(api_env: ApiEnv, name: ProviderName) -> None:
    api_env.set_up(name)
    made = connect(api_env, name)
    assert (made["id"], made["provider"], made["status"]) == (name, name, "active")
    assert api_env.user().get("/v1/connections").json()["data"] == [made]
    assert api_env.user().get(f"/v1/connections/{name}").json() == made
    mine, token_store = tokens(api_env), api_env.provider.answers.token_store
    first = mine.access_token(name)
    assert first in token_store.access
    assert first not in api_env.raw_items()
    asked = len(api_env.provider.asked)
    assert mine.access_token(name) == first
    assert len(api_env.provider.asked) == asked
    for _ in range(3):  # each refresh token is valid once
        api_env.clock.advance(3_541)
        following = mine.access_token(name)
        assert following != first
        first = following
    assert api_env.user().delete(f"/v1/connections/{name}").status_code == 204
    assert api_env.user().get(f"/v1/connections/{name}").status_code == 404
    actions = [told["action"] for told in api_env.told("admin.change")]
    assert actions.count("connection.create") == actions.count("connection.delete") == 1


def test_scopes_that_the_tenant_chose(api_env: ApiEnv) -> None:
    api_env.set_up(connection_scopes=["openid", "https://www.googleapis.com/auth/calendar"])
    assert connect(api_env)["scopes"] == ["openid", "https://www.googleapis.com/auth/calendar"]
    url = api_env.user().get("/v1/connections/google/authorize").json()["authorization_url"]
    assert "access_type=offline" in url


def test_connections_are_private(api_env: ApiEnv) -> None:
    api_env.set_up()
    connect(api_env)
    assert api_env.user(OTHER).get("/v1/connections").json()["data"] == []
    for client in (api_env.user(OTHER), api_env.user(tenant_id=api_env.deployment.onboard("other").tenant.id)):
        for method in ("GET", "DELETE"):
            answer = client.request(method, "/v1/connections/google")
            assert (answer.status_code, answer.json()["code"]) == (404, "NOT_FOUND")
    with pytest.raises(NotFound):
        tokens(api_env, OTHER).access_token("google")
    assert api_env.user().get("/v1/connections/google").status_code == 200


def test_a_flow_is_completed_by_whom_it_was_begun(api_env: ApiEnv) -> None:
    api_env.set_up()
    back = api_env.consent(api_env.user().get("/v1/connections/google/authorize").json()["authorization_url"])
    answer = api_env.user(OTHER).get("/v1/connections/google/callback", params=back)
    assert (answer.status_code, answer.json()["code"]) == (400, "STATE_INVALID")
    assert api_env.anyone().get("/v1/connections/google/callback", params=back).status_code == 401
    # The state of a connection cannot complete a sign-in.
    answer = api_env.anyone().get("/v1/auth/google/callback", params=back)
    assert (answer.status_code, answer.json()["code"]) == (400, "STATE_INVALID")
    assert api_env.user().get("/v1/connections/google/callback", params=back).status_code == 200
    answer = api_env.user().get("/v1/connections/google/callback", params=back)
    assert (answer.status_code, answer.json()["code"]) == (400, "STATE_INVALID")


def test_a_flow_of_the_same_person_in_another_tenant(api_env: ApiEnv) -> None:
    api_env.set_up()
    back = api_env.consent(api_env.user().get("/v1/connections/google/authorize").json()["authorization_url"])
    own, api_env.tenant = api_env.tenant, api_env.deployment.onboard("other")
    api_env.set_up()
    answer = api_env.user().get("/v1/connections/google/callback", params=back)
    assert (answer.status_code, answer.json()["code"]) == (400, "STATE_INVALID")
    assert api_env.user().get("/v1/connections").json()["data"] == []
    api_env.tenant = own
    assert api_env.user().get("/v1/connections/google/callback", params=back).status_code == 200


def test_what_is_not_set_up(api_env: ApiEnv) -> None:
    assert api_env.user().get("/v1/connections/google/authorize").status_code == 404
    made = api_env.set_up()
    answer = api_env.user().get("/v1/connections/google/authorize", params={"redirect_uri": f"{BACK}/x"})
    assert answer.status_code == 404
    api_env.admin().patch(f"/v1/identity-providers/{made['id']}", json={"enabled": False})
    assert api_env.user().get("/v1/connections/google/authorize").status_code == 404


def test_a_provider_that_refuses_or_fails_at_connecting(api_env: ApiEnv) -> None:
    api_env.set_up()
    for error, script, status, code in (
        ("access_denied", {}, 403, "PROVIDER_REFUSED"),
        ("", {"/google/token": say(500)}, 502, "PROVIDER_FAILED"),
    ):
        api_env.provider.error, api_env.provider.scripts = error, script
        back = api_env.consent(api_env.user().get("/v1/connections/google/authorize").json()["authorization_url"])
        answer = api_env.user().get("/v1/connections/google/callback", params=back)
        assert (answer.status_code, answer.json()["code"]) == (status, code)
        assert api_env.told("auth.refuse")[0]["code"] == code
        api_env.clock.advance(1)
    assert api_env.user().get("/v1/connections").json()["data"] == []


def test_access_that_was_withdrawn(api_env: ApiEnv) -> None:
    api_env.set_up()
    connect(api_env)
    api_env.provider.answers.token_store.refresh.clear()
    api_env.clock.advance(3_600)
    for _ in range(2):
        with pytest.raises(ConnectionExpired):
            tokens(api_env).access_token("google")
    assert api_env.user().get("/v1/connections/google").json()["status"] == "expired"
    assert connect(api_env)["status"] == "active"


def test_a_provider_that_is_down_costs_nothing(api_env: ApiEnv) -> None:
    api_env.set_up()
    connect(api_env)
    api_env.clock.advance(3_600)
    api_env.provider.scripts = {"/google/token": say(503)}
    with pytest.raises(ProviderFailed):
        tokens(api_env).access_token("google")
    api_env.provider.scripts = {}
    assert tokens(api_env).access_token("google")


def test_while_one_refreshes_another_waits_for_what_it_brings(api_env: ApiEnv) -> None:
    api_env.set_up()
    connect(api_env)
    api_env.clock.advance(3_600)
    mine, other = tokens(api_env), tokens(api_env)
    found = service(api_env).get("google")
    held = mine.store.lease(found, now=api_env.clock())
    assert held
    assert mine.store.lease(found, now=api_env.clock()) is None
    brought: list[str] = []

    def pause(_: float) -> None:
        brought.append(mine._refresh(held, mine.keeper.find("google")))

    object.__setattr__(other, "pause", pause)
    assert other.access_token("google") == brought[0]
    assert api_env.provider.asked.count("/google/token") == 2  # one request for the code, and one refresh


def test_a_dead_holder_blocks_others_only_briefly(api_env: ApiEnv) -> None:
    api_env.set_up()
    connect(api_env)
    api_env.clock.advance(3_600)
    mine = tokens(api_env)
    dead = mine.store.lease(service(api_env).get("google"), now=api_env.clock())
    assert dead
    with pytest.raises(Unavailable):
        mine.access_token("google")
    api_env.clock.advance(LEASE_SECONDS)
    token = mine.access_token("google")
    late = mine.store.rotate(dead, b"late", b"late", None, now=api_env.clock())
    assert late is None
    assert mine.access_token("google") == token


def test_a_table_that_fails_after_the_provider_answered_loses_no_token(api_env: ApiEnv) -> None:
    api_env.set_up()
    connect(api_env)
    api_env.clock.advance(3_600)
    outage = Outage(lambda number, operation: operation == "UpdateItem" and 3 < number < 7)
    with intercepted(api_env.runtime.table.client, outage):
        token = tokens(api_env).access_token("google")
    assert outage.failed
    api_env.clock.advance(3_600)
    assert tokens(api_env).access_token("google") != token


def test_a_sealed_token_opens_for_its_connection_alone(api_env: ApiEnv) -> None:
    api_env.set_up()
    connect(api_env)
    found = service(api_env).get("google")
    encryption = api_env.runtime.secret_encryption(api_env.tenant.tenant.id)
    assert encryption.decrypt(found.purpose("access"), found.sealed_access).startswith("at-")
    with pytest.raises(DecryptionFailed):
        encryption.decrypt(found.purpose("refresh"), found.sealed_access)
    other = api_env.runtime.secret_encryption(TenantId(api_env.deployment.onboard("other").tenant.id))
    with pytest.raises(DecryptionFailed):
        other.decrypt(found.purpose("access"), found.sealed_access)
    broken = found.sealed_access[:-1] + bytes([found.sealed_access[-1] ^ 1])
    for sealed in (broken, b"", b"\x01", b"\x01\xff\xff", found.sealed_access[:40]):
        with pytest.raises(DecryptionFailed):
            encryption.decrypt(found.purpose("access"), sealed)
