"""Which credentials end if the user who created them is deleted, suspended or demoted.

A user can create credentials directly or with other credentials.
"""

from dataclasses import dataclass
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.integration.admin_users.conftest import PASSWORD, TenantEnv, audited, create, record_of


def test_deletion_ends_descending_credentials(tenant_env: TenantEnv, client: TestClient) -> None:
    grown = build_credential_tree(tenant_env, client)
    answer = client.delete(f"/v1/users/{grown.user}?revoke_keys=true")
    assert (answer.status_code, answer.headers["x-remaining-credentials"]) == (204, "0")
    assert {each for each in grown.theirs if works(client, each)} == set()
    assert all(works(client, each) for each in grown.others)
    ended = {str(each["resource"]).removeprefix("client:") for each in audited(tenant_env) if each.get("creator")}
    assert ended == grown.theirs


@pytest.mark.parametrize("change", [{"status": "suspended"}, {"role": "user"}, {"role": "viewer"}])
def test_suspension_and_demotion_can_end_descending_credentials(
    tenant_env: TenantEnv, client: TestClient, change: dict[str, str]
) -> None:
    grown = build_credential_tree(tenant_env, client)
    path = f"/v1/users/{grown.user}"
    found = client.patch(path, json=change).json()["credentials"]
    assert (found["revoked"], set(found["remaining"])) == ([], grown.theirs)
    found = client.patch(f"{path}?revoke_keys=true", json=change).json()["credentials"]
    assert (set(found["revoked"]), found["remaining"]) == (grown.theirs, [])
    assert {each for each in grown.theirs if works(client, each)} == set()
    assert all(works(client, each) for each in grown.others)


def test_a_deletion_lists_credentials_that_stay_valid(tenant_env: TenantEnv, client: TestClient) -> None:
    grown = build_credential_tree(tenant_env, client)
    answer = client.delete(f"/v1/users/{grown.user}")
    assert answer.headers["x-remaining-credentials"] == str(len(grown.theirs))
    assert set(record_of(tenant_env, "user.delete")["credentials_remaining"]) == grown.theirs


def test_other_changes_end_no_credentials(tenant_env: TenantEnv, client: TestClient) -> None:
    grown = build_credential_tree(tenant_env, client)
    for change in ({"name": "Ann"}, {"role": "admin"}, {"status": "active"}):
        assert client.patch(f"/v1/users/{grown.user}", json=change).json().get("credentials") is None
        answer = client.patch(f"/v1/users/{grown.user}?revoke_keys=true", json=change)
        assert (answer.status_code, answer.json()["errors"][0]["loc"]) == (422, ["query", "revoke_keys"])
    assert all(works(client, each) for each in grown.theirs)


@dataclass
class CredentialTree:
    """An administrator, credentials that descend from the administrator, and other credentials."""

    user: str
    theirs: set[str]
    others: set[str]


def build_credential_tree(tenant_env: TenantEnv, client: TestClient) -> CredentialTree:
    """Create an administrator, credentials that descend from the administrator, and other credentials.

    The descending credentials are created directly, by rotation, or with keys and clients of the administrator.
    """

    def make(actor: TestClient, path: str = "/v1/keys", **body: Any) -> str:
        wanted = {"name": "made", "scopes": ["admin"], **body}
        answer = actor.post(path, json=wanted if path.endswith(("keys", "clients")) else body)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def act(some_id: str) -> TestClient:
        kind = {"usr": "user", "key": "key", "cli": "client"}[some_id[:3]]
        return tenant_env.call_as(
            principal_type=kind, principal_id=some_id, **({"role": "admin"} if kind == "user" else {})
        )

    confidential = {"type": "confidential", "grant_types": ["client_credentials"]}
    user = create(client, role="admin", password=PASSWORD)["id"]
    first = make(act(user))
    theirs = {first, make(act(first)), make(client, f"/v1/keys/{make(act(first))}/rotate")}
    # A key that another user rotated still descends from the administrator.
    rotated = make(client, f"/v1/keys/{make(act(user))}/rotate")
    theirs |= {rotated, make(act(rotated))}
    machine = make(act(first), "/v1/clients", **confidential)
    theirs |= {machine, make(act(machine)), make(act(user), "/v1/clients", **confidential)}
    others = {make(client), make(client, "/v1/clients", **confidential)}
    common = make(client)
    others |= {make(act(common)), make(client, f"/v1/keys/{common}/rotate", grace_seconds=3_600), common}
    tenant_env.deployment.clock.advance(1)
    theirs.add(make(act(user), f"/v1/keys/{make(client)}/rotate"))  # the administrator received the text of the new key
    return CredentialTree(user, theirs, others)


def works(client: TestClient, some_id: str) -> bool:
    path = "keys" if some_id.startswith("key_") else "clients"
    answer = client.get(f"/v1/{path}/{some_id}")
    return answer.status_code == 200 and answer.json().get("status", "active") == "active"
