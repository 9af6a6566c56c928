"""A tenant with an OAuth client of the local providers, and the functions for sign-in and connections."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from atrium.audit.query import make_query
from atrium.audit.store import AuditStore
from atrium.bootstrap import Runtime
from atrium.identity.onboarding import Onboarded
from atrium.storage.secret_encryption import MasterKey
from starlette.testclient import TestClient

import functions.admin.app
import functions.identity.app
from infra.local.oauth_provider import OAuthProvider, running
from infra.runtime.resources import local_session
from tests.builders.deployments import Deployment
from tests.builders.gateway import call_as, tenant_fields

BACK = "https://app.acme.example/back"


@dataclass
class ApiEnv:
    """The identity and admin functions, called for `tenant`."""

    deployment: Deployment
    runtime: Runtime
    provider: OAuthProvider
    tenant: Onboarded
    clock: Any = field(init=False)

    def __post_init__(self) -> None:
        self.clock = self.deployment.clock
        self._identity = functions.identity.app.build(lambda: self.runtime)
        self._admin = functions.admin.app.build(lambda: self.runtime)

    def admin(self) -> TestClient:
        fields = {"tenant_id": self.tenant.tenant.id, "scopes": "admin"}
        return call_as(self._admin, tenant_fields(**fields))

    def anyone(self) -> TestClient:
        """Return a client without a credential and with separate cookies, like a new browser."""
        return call_as(self._identity, None)

    def user(self, owner: str = "usr_01k6r5m2x8f3v9q4w7t1y0z5af", **fields: str) -> TestClient:
        own = {"tenant_id": self.tenant.tenant.id, "principal_type": "user", "principal_id": owner, "role": "user"}
        return call_as(self._identity, tenant_fields(**{**own, "scopes": "chat", **fields}))

    def set_up(self, name: str = "google", **fields: Any) -> dict[str, Any]:
        own = {"type": name, "client_id": "local-client", "client_secret": "local-secret", "redirect_uris": [BACK]}
        answer = self.admin().post("/v1/identity-providers", json={**own, **fields})
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json()
        return made

    def consent(self, url: str) -> dict[str, str]:
        """Open the consent URL of the provider. Return the parameters of the provider's redirect."""
        answer = httpx2.get(url, follow_redirects=False)
        assert answer.status_code == 302, answer.text
        assert answer.headers["location"].startswith(BACK)
        return {name: values[0] for name, values in parse_qs(urlsplit(answer.headers["location"]).query).items()}

    def told(self, kind: str) -> list[dict[str, Any]]:
        """Return the details of the tenant's audit events of one type, newest first."""
        store, now = AuditStore(self.runtime.tenant_table(self.tenant.tenant.id)), self.clock()
        return [dict(event.details) for event in store.list_all(make_query(now=now, type=kind), now=now)]

    def raw_items(self) -> str:
        """Return all items of the table as text."""
        table = self.runtime.table
        return str(table.client.scan(TableName=table.name)["Items"])


@pytest.fixture
def provider() -> Iterator[OAuthProvider]:
    with running() as served:
        yield served


def open_api_env(deployment: Deployment, provider: OAuthProvider) -> ApiEnv:
    """Return an environment with one tenant and a KMS key. The functions may call the local providers."""
    client = local_session().client("kms")
    key_id = client.create_key()["KeyMetadata"]["KeyId"]
    runtime = deployment.make_runtime(
        EGRESS_LOCAL_ADDRESSES="127.0.0.1", OAUTH_PROVIDER_URL=provider.url, TENANT_SECRETS_KEY_ID=key_id
    )
    runtime.__dict__["secret_master_key"] = MasterKey(client, key_id)
    provider.answers.now = lambda: deployment.clock().timestamp()
    return ApiEnv(deployment, runtime, provider, deployment.onboard())


@pytest.fixture
def api_env(deployment: Deployment, provider: OAuthProvider) -> ApiEnv:
    return open_api_env(deployment, provider)
