"""The admin function called by an administrator, and the audit of the tenant."""

from datetime import timedelta
from typing import Any

from atrium.audit.query import AuditQuery
from atrium.audit.store import AuditStore
from atrium.kernel.pagination import PageRequest
from starlette.testclient import TestClient

from tests.integration.admin_keys.conftest import TenantEnv, client, tenant_env

__all__ = ["TenantEnv", "audited", "client", "create", "record_of", "tenant_env"]

MEMBERS = {
    *("id", "email", "role", "name", "status", "last_login_at", "limits", "time_zone", "language", "preferences"),
    *("created_at", "updated_at"),
}
PASSWORD = "a password of hers"


def create(client: TestClient, email: str = "ann@acme.example", **body: Any) -> dict[str, Any]:
    answer = client.post("/v1/users", json={"email": email, "role": "user", **body})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    assert answer.headers["location"].endswith(f"/v1/users/{made['id']}")
    return made


def audited(tenant_env: TenantEnv) -> list[dict[str, Any]]:
    """Return the details of the audited changes."""
    now = tenant_env.deployment.clock()
    query = AuditQuery(now - timedelta(days=1), now + timedelta(days=1), type="admin.change")
    store = AuditStore(tenant_env.deployment.runtime.tenant_table(tenant_env.made.tenant.id))
    return [dict(event.details) for event in store.list(query, PageRequest(100), now=now).items]


def record_of(tenant_env: TenantEnv, action: str) -> dict[str, Any]:
    (record,) = [details for details in audited(tenant_env) if details["action"] == action]
    return record
