"""Connections: made, listed, forgotten, refreshed, and nobody else's."""

from typing import Any

import pytest
from atrium.identity.connections.service import ConnectionService
from atrium.identity.connections.store import LEASE_SECONDS, ConnectionStore
from atrium.identity.social.descriptions import describe
from atrium.identity.social.exchange import ProviderCalls
from atrium.identity.social.model import ClientCredentials
from atrium.identity.social.state import StateSealer
from atrium.kernel.errors import ConnectionExpired, NotFound, ProviderFailed, Unavailable
from atrium.kernel.ids import TenantId
from atrium.storage.secret_encryption import DecryptionFailed
from atrium.tenants.auditing import open_audit
from atrium.tenants.context import Caller, Principal, TenantContext

from tests.builders.issuers import say
from tests.builders.wires import Outage, intercepted
from tests.integration.social.conftest import BACK, Stage

pytestmark = pytest.mark.loopback

OWNER = "usr_01k6r5m2x8f3v9q4w7t1y0z5af"
OTHER = "usr_01k6r5m2x8f3v9q4w7t1y0z5ag"


def connect(stage: Stage, name: str = "google", **query: Any) -> dict[str, Any]:
    user = stage.user()
    begun = user.get(f"/v1/connections/{name}/authorize", params=query).json()
    back = stage.consent(begun["authorization_url"])
    answer = user.get(f"/v1/connections/{name}/callback", params=back)
    assert answer.status_code == 200, answer.text
    made: dict[str, Any] = answer.json()
    return made


def service(stage: Stage, owner: str = OWNER) -> ConnectionService:
    tenant = stage.tenant.tenant
    caller = Caller(Principal("user", owner, "u", frozenset({"chat"}), "user"), "req-1")
    context = TenantContext(tenant.id, tenant.name, tenant.plan, 1, caller)
    table = stage.runtime.tenant_table(tenant.id)
    encryption, audit = stage.runtime.secret_encryption(tenant.id), open_audit(context, table, stage.clock)
    sealer = StateSealer(stage.runtime.cursors)
    return ConnectionService(context, ConnectionStore(table), encryption, audit, sealer, stage.clock, lambda _: None)


def calls(stage: Stage, name: str = "google") -> ProviderCalls:
    description = describe(name, stage.provider.url)
    assert description
    return ProviderCalls(stage.runtime.egress, description.connect, ClientCredentials("local-client", "local-secret"))


@pytest.mark.parametrize("name", ["google", "github", "slack"])
def test_connected_used_refreshed_and_forgotten(stage: Stage, name: str) -> None:
    stage.set_up(name)
    made = connect(stage, name)
    assert (made["id"], made["provider"], made["status"]) == (name, name, "active")
    assert stage.user().get("/v1/connections").json()["data"] == [made]
    assert stage.user().get(f"/v1/connections/{name}").json() == made
    mine, token_store = service(stage), stage.provider.answers.token_store
    first = mine.access_token(name, calls(stage, name))
    assert first in token_store.access
    assert first not in stage.raw_items()
    asked = len(stage.provider.asked)
    assert mine.access_token(name, calls(stage, name)) == first
    assert len(stage.provider.asked) == asked
    for _ in range(3):  # each refresh token is good once
        stage.clock.turn(3_541)
        following = mine.access_token(name, calls(stage, name))
        assert following != first
        first = following
    assert stage.user().delete(f"/v1/connections/{name}").status_code == 204
    assert stage.user().get(f"/v1/connections/{name}").status_code == 404
    actions = [told["action"] for told in stage.told("admin.change")]
    assert actions.count("connection.create") == actions.count("connection.delete") == 1


def test_scopes_that_the_tenant_chose(stage: Stage) -> None:
    stage.set_up(connection_scopes=["openid", "https://www.googleapis.com/auth/calendar"])
    assert connect(stage)["scopes"] == ["openid", "https://www.googleapis.com/auth/calendar"]
    url = stage.user().get("/v1/connections/google/authorize").json()["authorization_url"]
    assert "access_type=offline" in url


def test_nobody_elses(stage: Stage) -> None:
    stage.set_up()
    connect(stage)
    assert stage.user(OTHER).get("/v1/connections").json()["data"] == []
    for client in (stage.user(OTHER), stage.user(tenant_id=stage.deployment.onboard("other").tenant.id)):
        for method in ("GET", "DELETE"):
            answer = client.request(method, "/v1/connections/google")
            assert (answer.status_code, answer.json()["code"]) == (404, "NOT_FOUND")
    with pytest.raises(NotFound):
        service(stage, OTHER).access_token("google", calls(stage))
    assert stage.user().get("/v1/connections/google").status_code == 200


def test_a_flow_is_completed_by_whom_it_was_begun(stage: Stage) -> None:
    stage.set_up()
    back = stage.consent(stage.user().get("/v1/connections/google/authorize").json()["authorization_url"])
    answer = stage.user(OTHER).get("/v1/connections/google/callback", params=back)
    assert (answer.status_code, answer.json()["code"]) == (400, "STATE_INVALID")
    assert stage.anyone().get("/v1/connections/google/callback", params=back).status_code == 401
    answer = stage.anyone().get("/v1/auth/google/callback", params=back)  # a connection's state signs nobody in
    assert (answer.status_code, answer.json()["code"]) == (400, "STATE_INVALID")
    assert stage.user().get("/v1/connections/google/callback", params=back).status_code == 200
    answer = stage.user().get("/v1/connections/google/callback", params=back)
    assert (answer.status_code, answer.json()["code"]) == (400, "STATE_INVALID")


def test_a_flow_of_the_same_person_in_another_tenant(stage: Stage) -> None:
    stage.set_up()
    back = stage.consent(stage.user().get("/v1/connections/google/authorize").json()["authorization_url"])
    own, stage.tenant = stage.tenant, stage.deployment.onboard("other")
    stage.set_up()
    answer = stage.user().get("/v1/connections/google/callback", params=back)
    assert (answer.status_code, answer.json()["code"]) == (400, "STATE_INVALID")
    assert stage.user().get("/v1/connections").json()["data"] == []
    stage.tenant = own
    assert stage.user().get("/v1/connections/google/callback", params=back).status_code == 200


def test_what_is_not_set_up(stage: Stage) -> None:
    assert stage.user().get("/v1/connections/google/authorize").status_code == 404
    made = stage.set_up()
    answer = stage.user().get("/v1/connections/google/authorize", params={"redirect_uri": f"{BACK}/x"})
    assert answer.status_code == 404
    stage.admin().patch(f"/v1/identity-providers/{made['id']}", json={"enabled": False})
    assert stage.user().get("/v1/connections/google/authorize").status_code == 404


def test_a_provider_that_refuses_or_fails_at_connecting(stage: Stage) -> None:
    stage.set_up()
    for error, script, status, code in (
        ("access_denied", {}, 403, "PROVIDER_REFUSED"),
        ("", {"/google/token": say(500)}, 502, "PROVIDER_FAILED"),
    ):
        stage.provider.error, stage.provider.scripts = error, script
        back = stage.consent(stage.user().get("/v1/connections/google/authorize").json()["authorization_url"])
        answer = stage.user().get("/v1/connections/google/callback", params=back)
        assert (answer.status_code, answer.json()["code"]) == (status, code)
        assert stage.told("auth.refuse")[0]["code"] == code
        stage.clock.turn(1)
    assert stage.user().get("/v1/connections").json()["data"] == []


def test_access_that_was_withdrawn(stage: Stage) -> None:
    stage.set_up()
    connect(stage)
    stage.provider.answers.token_store.refresh.clear()
    stage.clock.turn(3_600)
    for _ in range(2):
        with pytest.raises(ConnectionExpired):
            service(stage).access_token("google", calls(stage))
    assert stage.user().get("/v1/connections/google").json()["status"] == "expired"
    assert connect(stage)["status"] == "active"


def test_a_provider_that_is_down_costs_nothing(stage: Stage) -> None:
    stage.set_up()
    connect(stage)
    stage.clock.turn(3_600)
    stage.provider.scripts = {"/google/token": say(503)}
    with pytest.raises(ProviderFailed):
        service(stage).access_token("google", calls(stage))
    stage.provider.scripts = {}
    assert service(stage).access_token("google", calls(stage))


def test_while_one_refreshes_another_waits_for_what_it_brings(stage: Stage) -> None:
    stage.set_up()
    connect(stage)
    stage.clock.turn(3_600)
    mine = service(stage)
    held = mine.store.lease(mine.get("google"), now=stage.clock())
    assert held
    assert mine.store.lease(mine.get("google"), now=stage.clock()) is None
    brought: list[str] = []
    other = service(stage)

    def pause(_: float) -> None:
        brought.append(mine._refresh(held, calls(stage)))

    object.__setattr__(other, "pause", pause)
    assert other.access_token("google", calls(stage)) == brought[0]
    assert stage.provider.asked.count("/google/token") == 2  # one code, one refresh


def test_a_holder_that_died_blocks_nobody_for_long(stage: Stage) -> None:
    stage.set_up()
    connect(stage)
    stage.clock.turn(3_600)
    mine = service(stage)
    dead = mine.store.lease(mine.get("google"), now=stage.clock())
    assert dead
    with pytest.raises(Unavailable):
        mine.access_token("google", calls(stage))
    stage.clock.turn(LEASE_SECONDS)
    token = mine.access_token("google", calls(stage))
    late = mine.store.rotate(dead, b"late", b"late", None, now=stage.clock())
    assert late is None
    assert mine.access_token("google", calls(stage)) == token


def test_a_table_that_fails_after_the_provider_answered_loses_no_token(stage: Stage) -> None:
    stage.set_up()
    connect(stage)
    stage.clock.turn(3_600)
    outage = Outage(lambda number, operation: operation == "UpdateItem" and 1 < number < 5)
    with intercepted(stage.runtime.table.client, outage):
        token = service(stage).access_token("google", calls(stage))
    assert outage.failed
    stage.clock.turn(3_600)
    assert service(stage).access_token("google", calls(stage)) != token


def test_a_sealed_token_opens_for_its_connection_alone(stage: Stage) -> None:
    stage.set_up()
    connect(stage)
    found = service(stage).get("google")
    encryption = stage.runtime.secret_encryption(stage.tenant.tenant.id)
    assert encryption.decrypt(found.purpose("access"), found.sealed_access).startswith("at-")
    with pytest.raises(DecryptionFailed):
        encryption.decrypt(found.purpose("refresh"), found.sealed_access)
    other = stage.runtime.secret_encryption(TenantId(stage.deployment.onboard("other").tenant.id))
    with pytest.raises(DecryptionFailed):
        other.decrypt(found.purpose("access"), found.sealed_access)
    broken = found.sealed_access[:-1] + bytes([found.sealed_access[-1] ^ 1])
    for sealed in (broken, b"", b"\x01", b"\x01\xff\xff", found.sealed_access[:40]):
        with pytest.raises(DecryptionFailed):
            encryption.decrypt(found.purpose("access"), sealed)
