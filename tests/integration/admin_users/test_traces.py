"""Deletion of a user also erases all other items about the user."""

import pytest
from atrium.identity.login.throttles import Throttles
from atrium.kernel.ids import FamilyId, UserId
from atrium.storage import keys, provider_keys, throttle_keys
from atrium.storage.keys import Key
from atrium.storage.table import BoundTable
from atrium.storage.writes import ANY, Put

from functions.admin.app import build
from tests.builders.deployments import Deployment
from tests.builders.gateway import call_as, tenant_fields

EMAIL, OTHER = "ann@acme.example", "usr_01k6r5m2x8f3v9q4w7t1y0z5zz"


def traces_of(user_id: str) -> list[tuple[Key, dict[str, str]]]:
    issued = {"gsi1pk": keys.issued(), "gsi1sk": keys.issued_to(user_id, "login")}
    digest = user_id[-3:]
    return [
        (provider_keys.connection(user_id, "google"), {"account": EMAIL}),
        (provider_keys.external_identity(digest), {"user_id": user_id}),
        (keys.family(FamilyId(f"fam_{digest}")), {"user_id": user_id, "ip": "192.0.2.1", **issued}),
        (keys.admission(user_id), {"at": "1"}),
        (keys.tool_calls(user_id), {"at": "1"}),
    ]


def put(table: BoundTable, user_id: str) -> list[Key]:
    found = traces_of(user_id)
    for key, item in found:
        table.write(Put(key, item, ANY))
    return [key for key, _ in found]


@pytest.mark.parametrize("is_repeated", [False, True])
def test_a_deleted_user_leaves_no_trace(deployment: Deployment, *, is_repeated: bool) -> None:
    tenant_id = deployment.onboard().tenant.id
    client = call_as(build(lambda: deployment.runtime), tenant_fields(tenant_id=tenant_id, scopes="admin"))
    user_id = client.post("/v1/users", json={"email": EMAIL, "role": "user"}).json()["id"]
    table, platform = deployment.runtime.tenant_table(tenant_id), deployment.runtime.platform_table
    others = put(table, OTHER)
    if is_repeated:  # an earlier call was interrupted after it deleted the user's item
        assert client.delete(f"/v1/users/{user_id}").status_code == 204
    own = put(table, user_id)
    throttles = Throttles(platform, deployment.clock)
    throttles.know(tenant_id, EMAIL, "192.0.2.1")
    throttles.enter_password(UserId(user_id))
    assert client.delete(f"/v1/users/{user_id}").status_code == (404 if is_repeated else 204)
    assert table.batch_get(own) == {}
    assert len(table.batch_get(others)) == len(others)
    if not is_repeated:
        kept = [throttle_keys.known_address(tenant_id, EMAIL, "192.0.2.1"), throttle_keys.password_attempts(user_id)]
        assert platform.batch_get(kept) == {}
