"""Deletion of a tenant releases its claims outside its partition: issuers with audiences, and login emails."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
from atrium.erasure.service import QUIET_SECONDS
from atrium.identity import offboarding
from atrium.identity.onboarding import Onboarded
from atrium.identity.providers.model import pair_digest
from atrium.identity.users.model import User
from atrium.identity.users.store import UserStore
from atrium.kernel.errors import TenantInactive
from atrium.kernel.ids import TenantId, mint_user_id
from atrium.storage import keys, platform_keys, provider_keys
from atrium.storage.login import list_logins
from atrium.storage.table import Query
from atrium.tenants.deletions import OWN_SECONDS
from starlette.testclient import TestClient

from functions.admin.app import build as build_admin
from functions.events.deletions import finish_deletions
from tests.builders.deployments import Deployment, breaking
from tests.builders.gateway import KEY_ID, call_as, tenant_fields
from tests.builders.refusals import refusing
from tests.builders.tenant_env import open_bucket

ISSUER = {"issuer": "https://login.acme.example/", "audience": "https://atrium.example/acme"}
OTHER = {**ISSUER, "audience": "https://atrium.example/other"}
SHARED = "ann@shared.example"
PLATFORM_KEY = f"platform:{KEY_ID}"
PLENTY: Callable[[], int] = lambda: 60_000  # noqa: E731


@dataclass
class Leaving:
    """A tenant with a provider and two users. One of the users is also a user of another tenant."""

    deployment: Deployment
    made: Onboarded

    @property
    def tenant_id(self) -> TenantId:
        return self.made.tenant.id

    @property
    def users(self) -> UserStore:
        return UserStore(self.deployment.runtime.tenant_table(self.tenant_id))

    def admin(self, made: Onboarded | None = None) -> TestClient:
        """Return a client of the admin function for this tenant or another tenant."""
        fields = tenant_fields(tenant_id=(made or self.made).tenant.id, scopes="admin")
        return call_as(build_admin(lambda: self.deployment.runtime), fields)

    def add_user(self, email: str) -> User:
        now = self.deployment.clock()
        user = User(mint_user_id(now), self.tenant_id, email, "user", "active", now, now)
        self.users.create(user)
        return user

    def claims(self) -> list[object]:
        """Return the tenant's claims outside its partition: markers of issuers, and emails in the login index."""
        table = self.deployment.runtime.platform_table
        pairs = [(pair["issuer"], pair["audience"]) for pair in (ISSUER, OTHER)]
        markers = [table.get(provider_keys.issuer(pair_digest(*pair))) for pair in pairs]
        assert self.made.admin
        logins = [
            place
            for email in (self.made.admin.email, SHARED)
            for place in list_logins(self.deployment.table, email, limit=10)
        ]
        held: list[object] = [marker for marker in markers if marker and marker["tenant_id"] == self.tenant_id]
        return [*held, *(place for place in logins if place[0] == self.tenant_id)]

    def is_listed(self) -> bool:
        return self.deployment.runtime.platform_table.get(platform_keys.deletion(self.tenant_id)) is not None

    def sweep(self, remaining_ms: Callable[[], int] = PLENTY, *, seconds: float = OWN_SECONDS) -> dict[str, int]:
        """Advance the clock by `seconds` and run the sweeper. Return the counts that are not zero.

        By default, no other call can still be processing the deletion.
        """
        self.deployment.clock.advance(seconds)
        counts = finish_deletions(self.deployment.runtime, remaining_ms)
        return {name.removeprefix("deletions_"): count for name, count in counts.items() if count}

    def last_sweep(self) -> dict[str, int]:
        """Run the sweeper when every write that began before the deletion has ended."""
        return self.sweep(seconds=QUIET_SECONDS)


@pytest.fixture(autouse=True)
def bucket(request: pytest.FixtureRequest, deployment: Deployment) -> Iterator[None]:
    with open_bucket(on_moto=request.config.getoption("--dynamodb") == "moto") as made:
        deployment.runtime.__dict__["bucket"] = made
        yield


@pytest.fixture
def leaving(deployment: Deployment) -> Leaving:
    found = Leaving(deployment, deployment.onboard())
    assert found.admin().post("/v1/identity-providers", json=ISSUER).status_code == 201
    found.add_user(SHARED)
    assert len(found.claims()) == 3
    return found


def test_issuers_and_emails_are_free_at_once(leaving: Leaving, client: TestClient) -> None:
    other = leaving.deployment.onboard("other")
    assert leaving.admin(other).post("/v1/identity-providers", json=ISSUER).status_code == 409
    assert client.delete(f"/v1/tenants/{leaving.tenant_id}").status_code == 204
    assert leaving.claims() == []
    assert leaving.admin(other).post("/v1/identity-providers", json=ISSUER).status_code == 201
    assert client.delete(f"/v1/tenants/{leaving.tenant_id}").status_code == 404
    marker = leaving.deployment.runtime.platform_table.get(provider_keys.issuer(pair_digest(*ISSUER.values())))
    assert marker
    assert marker["tenant_id"] == other.tenant.id  # a repeated deletion does not release the issuer of its new owner


def test_what_others_claim_stays(leaving: Leaving, client: TestClient) -> None:
    other = Leaving(leaving.deployment, leaving.deployment.onboard("other"))
    other.add_user(SHARED)
    assert other.admin().post("/v1/identity-providers", json=OTHER).status_code == 201
    before = other.claims()
    assert client.delete(f"/v1/tenants/{leaving.tenant_id}").status_code == 204
    assert other.claims() == before != []


def test_the_sweeper_erases_in_two_passes(leaving: Leaving, client: TestClient) -> None:
    client.delete(f"/v1/tenants/{leaving.tenant_id}")
    assert leaving.sweep(seconds=0) == {}  # another call may still process the deletion
    assert leaving.sweep() == {"waiting": 1}
    assert leaving.sweep() == {"waiting": 1}
    assert leaving.last_sweep() == {"finished": 1}
    assert not leaving.is_listed()
    assert leaving.sweep() == {}


@pytest.mark.parametrize("write", range(2, 6))
def test_a_deletion_that_died_is_finished_by_the_same_call(leaving: Leaving, client: TestClient, write: int) -> None:
    with breaking(leaving.deployment.table, write):
        assert client.delete(f"/v1/tenants/{leaving.tenant_id}").status_code == 500
    assert client.delete(f"/v1/tenants/{leaving.tenant_id}").status_code == 404
    assert leaving.claims() == []


@pytest.mark.parametrize("write", range(2, 6))
def test_a_deletion_that_died_is_finished_by_the_sweeper(leaving: Leaving, client: TestClient, write: int) -> None:
    with breaking(leaving.deployment.table, write):
        assert client.delete(f"/v1/tenants/{leaving.tenant_id}").status_code == 500
    assert leaving.sweep() == {"waiting": 1}
    assert leaving.claims() == []
    assert client.post("/v1/tenants", json={"name": "acme", "plan": "pro"}).status_code == 201


@pytest.mark.parametrize("write", range(2))
def test_a_deletion_that_died_before_it_held_is_forgotten(leaving: Leaving, client: TestClient, write: int) -> None:
    with breaking(leaving.deployment.table, write):
        assert client.delete(f"/v1/tenants/{leaving.tenant_id}").status_code == 500
    assert leaving.sweep() == ({"finished": 1} if write else {})
    assert not leaving.is_listed()
    assert len(leaving.claims()) == 3
    assert client.get(f"/v1/tenants/{leaving.tenant_id}").status_code == 200


def test_emails_beyond_a_portion_are_released_by_the_sweeper(
    leaving: Leaving, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(offboarding, "ADDRESSES_MAX", 4)
    emails = [f"u{number}@acme.example" for number in range(12)]
    for email in emails:
        leaving.add_user(email)

    def left() -> int:
        return len([email for email in emails if list_logins(leaving.deployment.table, email, limit=1)])

    assert client.delete(f"/v1/tenants/{leaving.tenant_id}").status_code == 204
    assert left() in {8, 9, 10}
    assert leaving.sweep() == {"waiting": 1}
    assert left() == 0
    assert leaving.claims() == []


def test_no_deletion_is_begun_without_time(leaving: Leaving, client: TestClient) -> None:
    client.delete(f"/v1/tenants/{leaving.tenant_id}")
    assert leaving.sweep(lambda: 1_000) == {"left": 1}
    assert leaving.is_listed()


def test_one_that_fails_does_not_keep_the_others(
    leaving: Leaving, client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    other = Leaving(leaving.deployment, leaving.deployment.onboard("other"))
    for each in (leaving, other):
        client.delete(f"/v1/tenants/{each.tenant_id}")
    with refusing(leaving.deployment.table, "GetItem", "ThrottlingException", about=leaving.tenant_id):
        assert leaving.sweep() == {"waiting": 1, "failed": 1}
    (told,) = [record.__dict__ for record in caplog.records if record.levelname == "ERROR"]
    assert (told["tenant_id"], told["error"]) == (leaving.tenant_id, "UNAVAILABLE")
    assert leaving.last_sweep() == {"finished": 2}


def test_a_repeated_deletion_is_not_swept_while_it_runs(leaving: Leaving, client: TestClient) -> None:
    client.delete(f"/v1/tenants/{leaving.tenant_id}")
    leaving.deployment.clock.advance(OWN_SECONDS)
    client.delete(f"/v1/tenants/{leaving.tenant_id}")
    assert leaving.sweep(seconds=0) == {}
    assert leaving.sweep() == {"waiting": 1}


def test_creates_no_user_in_a_deleted_tenant(leaving: Leaving, client: TestClient) -> None:
    provider = leaving.admin().get("/v1/identity-providers").json()["data"][0]["id"]
    client.delete(f"/v1/tenants/{leaving.tenant_id}")
    with pytest.raises(TenantInactive):
        leaving.add_user("late@acme.example")
    calls: list[tuple[str, str, Any]] = [
        ("POST", "/v1/users", {"email": "late@acme.example", "role": "user"}),
        ("POST", "/v1/identity-providers", OTHER),
        ("PATCH", f"/v1/identity-providers/{provider}", {"name": "again"}),
        ("PATCH", f"/v1/identity-providers/{provider}", {"audience": OTHER["audience"]}),
    ]
    for method, path, body in calls:
        answer = leaving.admin().request(method, path, json=body)
        assert (answer.status_code, answer.json()["code"]) == (403, "TENANT_INACTIVE"), path
    leaving.sweep()
    assert leaving.claims() == []


def test_progress_and_what_stays_can_be_read(leaving: Leaving, client: TestClient) -> None:
    path = f"/v1/tenants/{leaving.tenant_id}/deletion"
    assert client.get(path).json()["status"] == "none"
    client.delete(f"/v1/tenants/{leaving.tenant_id}")
    begun = client.get(path).json()
    assert (begun["status"], begun["deleted_by"], begun["items_erased"]) == ("deleting", PLATFORM_KEY, 0)
    time = iter([60_000] * 3 + [0] * 9)
    assert leaving.sweep(lambda: next(time)) == {"left": 1}
    under_way = client.get(path).json()
    assert (under_way["status"], under_way["phase"]) == ("deleting", "files")
    assert under_way["items_erased"] > 4
    leaving.sweep()
    assert client.get(path).json()["phase"] is None
    assert leaving.last_sweep() == {"finished": 1}
    done = client.get(path).json()
    assert (done["status"], done["plan"], done["deleted_at"]) == ("deleted", "pro", begun["deleted_at"])
    assert (done["phase"], done["items_erased"], done["erased_at"] > done["deleted_at"]) == (None, None, True)
    assert client.get(f"/v1/tenants/{leaving.tenant_id}").status_code == 404
    assert client.get(f"/v1/tenants/ten_{'0' * 26}/deletion").status_code == 404


def test_the_platforms_audit_says_once_who_deleted_it(leaving: Leaving, client: TestClient) -> None:
    for _ in range(2):
        client.delete(f"/v1/tenants/{leaving.tenant_id}")
        leaving.sweep()
    day = leaving.deployment.clock().date()
    (record,) = leaving.deployment.runtime.platform_table.query(Query(keys.audit_day(day))).items
    assert record["principal"] == PLATFORM_KEY
    assert json.loads(record["details"]) == {"action": "tenant.delete", "resource": leaving.tenant_id, "plan": "pro"}


def test_an_email_that_is_changed_at_the_last_moment_is_not_claimed(leaving: Leaving, client: TestClient) -> None:
    user = leaving.add_user("bob@acme.example")
    client.delete(f"/v1/tenants/{leaving.tenant_id}")
    with pytest.raises(TenantInactive):
        leaving.users.change(user, replace(user, email="late@acme.example"))
    assert list_logins(leaving.deployment.table, "late@acme.example", limit=1) == []


def test_takes_over_what_a_dead_call_left(leaving: Leaving, client: TestClient) -> None:
    with breaking(leaving.deployment.table, 1):
        assert leaving.admin().post("/v1/identity-providers", json=OTHER).status_code == 500
    other = leaving.deployment.onboard("other")
    assert leaving.admin(other).post("/v1/identity-providers", json=OTHER).status_code == 409
    client.delete(f"/v1/tenants/{leaving.tenant_id}")
    assert leaving.admin(other).post("/v1/identity-providers", json=OTHER).status_code == 201
    assert leaving.claims() == []
