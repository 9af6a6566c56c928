"""Credentials that are bound to a tenant: one STS call per tenant and hour, and no access if STS fails."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from atrium.bootstrap import Runtime
from atrium.kernel.clock import read_clock
from atrium.kernel.errors import Unavailable
from atrium.kernel.ids import TenantId, mint_tenant_id
from atrium.settings import Settings
from atrium.storage import tenant_credentials
from atrium.storage.tenant_credentials import TenantCredentials
from botocore.stub import Stubber
from moto import mock_aws

from infra.runtime.resources import REGION, local_session
from tests.builders.tenant_env import OTHER_TENANT, TENANT

ROLE = "arn:aws:iam::123456789012:role/atrium-tenant"
NOW = datetime(2026, 11, 27, 8, tzinfo=UTC)


@dataclass
class Office:
    """A fake STS that records its calls and the clients that are created with its credentials."""

    now: datetime = NOW
    asked: list[dict[str, Any]] = field(default_factory=list)
    made: list[tuple[str, str]] = field(default_factory=list)
    busy: threading.Event | None = None

    def assume_role(self, **asked: Any) -> Any:
        if self.busy:
            self.busy.wait(60)
        self.asked.append(asked)
        number = str(len(self.asked))
        keys = {"AccessKeyId": number, "SecretAccessKey": "s", "SessionToken": "t"}
        return {"Credentials": {**keys, "Expiration": self.now + timedelta(hours=1)}}

    def make(self, service: str, credentials: Any) -> object:
        self.made.append((service, credentials["AccessKeyId"]))
        return SimpleNamespace(number=credentials["AccessKeyId"])

    def sessions(self) -> TenantCredentials:
        sts: Any = self
        return TenantCredentials(sts, ROLE, lambda: self.now, self.make)


def test_a_session_belongs_to_one_tenant() -> None:
    office = Office()
    sessions = office.sessions()
    ours, theirs = sessions.client("dynamodb", TENANT), sessions.client("dynamodb", OTHER_TENANT)
    assert ours is not theirs
    assert [(each["RoleArn"], each["Tags"], each["RoleSessionName"]) for each in office.asked] == [
        (ROLE, [{"Key": "TenantId", "Value": tenant}], tenant) for tenant in (TENANT, OTHER_TENANT)
    ]
    assert sessions.client("dynamodb", TENANT) is ours
    assert len(office.asked) == 2


def test_both_clients_of_a_tenant_share_its_session() -> None:
    office = Office()
    sessions = office.sessions()
    assert sessions.client("dynamodb", TENANT) is not sessions.client("s3", TENANT)
    assert office.made == [("dynamodb", "1"), ("s3", "1")]
    assert len(office.asked) == 1


def test_renews_a_session_before_it_can_expire_during_a_call() -> None:
    office = Office()
    sessions = office.sessions()
    first = sessions.client("dynamodb", TENANT)
    office.now += timedelta(minutes=39, seconds=59)
    assert sessions.client("dynamodb", TENANT) is first
    office.now += timedelta(seconds=1)
    assert sessions.client("dynamodb", TENANT) is not first
    assert len(office.asked) == 2


def test_concurrent_callers_share_one_sts_call() -> None:
    office = Office(busy=threading.Event())
    sessions = office.sessions()
    with ThreadPoolExecutor(16) as pool:
        found = [pool.submit(sessions.client, "dynamodb", TENANT) for _ in range(16)]
        assert office.busy is not None
        office.busy.set()
        clients = {id(each.result()) for each in found}
    assert (len(clients), len(office.asked)) == (1, 1)


def test_tenants_do_not_wait_for_each_other() -> None:
    office = Office()
    sessions = office.sessions()
    known = sessions.client("dynamodb", OTHER_TENANT)
    office.busy = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(sessions.client, "dynamodb", TENANT)
        assert sessions.client("dynamodb", OTHER_TENANT) is known
        assert not waiting.done()
        office.busy.set()
        waiting.result()


def test_forgets_tenants_that_were_not_used_recently(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tenant_credentials, "KEPT_MAX", 2)
    office = Office()
    sessions, tenants = office.sessions(), [mint_tenant_id(NOW + timedelta(seconds=number)) for number in range(3)]
    for tenant in (*tenants, tenants[2], tenants[1]):
        sessions.client("dynamodb", tenant)
    assert len(office.asked) == 3
    sessions.client("dynamodb", tenants[0])
    assert len(office.asked) == 4


@pytest.mark.parametrize("tenant", ["", "acme", f"{TENANT}*", "*", "ten_*"])
def test_rejects_malformed_tenant_ids(tenant: str) -> None:
    office = Office()
    with pytest.raises(ValueError, match="not a tenant id"):
        office.sessions().client("dynamodb", TenantId(tenant))
    assert office.asked == []


@pytest.mark.parametrize("code", ["Throttling", "AccessDenied", "ServiceUnavailable"])
def test_fails_without_sts(code: str) -> None:
    sts = local_session().client("sts")
    sessions = TenantCredentials(sts, ROLE, read_clock, lambda *_: pytest.fail("a client without a session"))
    with Stubber(sts) as stub:
        stub.add_client_error("assume_role", code)
        with pytest.raises(Unavailable):
            sessions.client("dynamodb", TENANT)


def test_calls_a_real_sts_client() -> None:
    with mock_aws():
        sts = local_session().client("sts")
        given: list[Any] = []
        TenantCredentials(sts, ROLE, read_clock, lambda *made: given.append(made)).client("dynamodb", TENANT)
    ((service, credentials),) = given
    assert service == "dynamodb"
    assert credentials["Expiration"] > read_clock() + timedelta(minutes=50)
    assert {"AccessKeyId", "SecretAccessKey", "SessionToken"} <= credentials.keys()


@pytest.mark.parametrize("role", ["", ROLE])
def test_uses_tenant_sessions_only_if_configured(monkeypatch: pytest.MonkeyPatch, role: str) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    with mock_aws():
        environment = {"TABLE_NAME": "atrium", "BLOBS_BUCKET": "blobs", "TENANT_ROLE_ARN": role}
        runtime = Runtime(Settings.read(environment))
        clients = [runtime.tenant_table(tenant)._client for tenant in (TENANT, OTHER_TENANT, TENANT)]
        assert (len(set(map(id, clients))), clients[0] is runtime.table.client) == ((2, False) if role else (1, True))
        bucket = runtime.tenant_blobs(TENANT).bucket
        assert (bucket.may_list, bucket.client is runtime.bucket.client) == ((False, False) if role else (True, True))
        assert runtime.platform_table._client is runtime.table.client
