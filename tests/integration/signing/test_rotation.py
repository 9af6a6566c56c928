"""Rotation of signing keys under load, in containers with caches of different ages. No token is rejected."""

from datetime import datetime
from typing import Any

import jwt
import pytest
from atrium.bootstrap import Runtime
from atrium.identity.signing import choose_signer, list_verifying
from atrium.identity.tokens import publish_keys
from aws_lambda_powertools.utilities.parameters import base
from starlette.testclient import TestClient

import functions.identity.app
import functions.platform.app
from functions.authorizer.app import answer
from functions.authorizer.authorize import Authorizer
from tests.builders.authorizing import authorizer_event, bearer
from tests.builders.deployments import Deployment
from tests.builders.gateway import call_as, platform_fields, tenant_fields
from tests.builders.logins import ORIGIN, Logins, open_logins

CONTAINERS = 6
STEP_SECONDS = 20


@pytest.fixture
def logins(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> Logins:
    """Logins in a deployment whose cache of secrets uses the manual clock."""

    class Turned(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return deployment.clock().replace(tzinfo=tz)

    monkeypatch.setattr(base, "datetime", Turned)
    deployment.runtime = new_container(deployment)
    return open_logins(deployment)


def new_container(deployment: Deployment) -> Runtime:
    made = deployment.make_runtime()
    made.secrets.ticks = lambda: deployment.clock().timestamp()
    return made


def platform(deployment: Deployment) -> TestClient:
    return call_as(functions.platform.app.build(lambda: deployment.runtime), platform_fields())


class OutsideVerifier:
    """Another service, which caches our keys for five minutes."""

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment
        self.keys: dict[str, Any] = {}
        self.read_at = 0.0

    def verify(self, token: str, container: Runtime) -> None:
        now = self.deployment.clock().timestamp()
        if now - self.read_at >= 300:
            client = call_as(functions.identity.app.build(lambda: container), None)
            self.keys = {key["kid"]: jwt.PyJWK(key).key for key in client.get("/.well-known/jwks.json").json()["keys"]}
            self.read_at = now
        key = self.keys[jwt.get_unverified_header(token)["kid"]]
        jwt.PyJWS().decode(token, key, ["ES256"])


def test_no_token_is_refused(logins: Logins) -> None:
    deployment = logins.deployment
    containers = []
    for _ in range(CONTAINERS):
        containers.append(new_container(deployment))
        containers[-1].secrets.signing_keys()
        deployment.clock.advance(47)  # so that no two containers read the secret at the same time
    authorizers = [Authorizer(container) for container in containers]
    outside_verifier, alive, kids = OutsideVerifier(deployment), list[tuple[float, str]](), set[str]()
    for step in range(3_600 // STEP_SECONDS):
        if step in {10, 60, 110}:
            assert platform(deployment).post("/v1/signing-keys/rotate").status_code == 200
        now = deployment.clock().timestamp()
        deployment.runtime = containers[step % CONTAINERS]
        token = logins.families.begin(logins.admin, logins.made.tenant, origin=ORIGIN).access_token
        kids.add(jwt.get_unverified_header(token)["kid"])
        alive = [(made, text) for made, text in alive if now - made < 895] + [(now, token)]
        for at, text in ((now, token), alive[0], alive[len(alive) // 2]):
            del at
            policy: Any = answer(authorizer_event(bearer(text)), authorizers[(step + 1) % CONTAINERS])
            assert policy["policyDocument"]["Statement"][0]["Effect"] == "Allow"
            outside_verifier.verify(text, containers[(step + 2) % CONTAINERS])
        deployment.clock.advance(STEP_SECONDS)
    assert len(kids) == 4


def test_a_rotation_shows_its_steps(logins: Logins) -> None:
    deployment, client = logins.deployment, platform(logins.deployment)
    (first,) = client.get("/v1/signing-keys").json()["data"]
    assert (first["status"], first["ends_at"]) == ("signing", None)
    old, new = client.post("/v1/signing-keys/rotate").json()["data"]
    assert [old["status"], new["status"]] == ["signing", "next"]
    refused = client.post("/v1/signing-keys/rotate")
    assert (refused.status_code, refused.json()["code"]) == (409, "CONFLICT")
    deployment.clock.advance(900)
    assert [key["status"] for key in client.get("/v1/signing-keys").json()["data"]] == ["retiring", "signing"]
    deployment.clock.advance(1_200)
    (left,) = client.get("/v1/signing-keys").json()["data"]
    assert (left["kid"], left["status"]) == (new["kid"], "signing")
    assert "PRIVATE" not in client.get("/v1/signing-keys").text


def test_rejects_a_token_of_a_retired_key(logins: Logins) -> None:
    deployment = logins.deployment
    platform(deployment).post("/v1/signing-keys/rotate")
    deployment.clock.advance(2_100)
    old = deployment.runtime.secrets.signing_keys()[0]
    assert old not in list_verifying(deployment.runtime.secrets.signing_keys(), deployment.clock())
    assert old.kid not in {key["kid"] for key in publish_keys(list_verifying([old], deployment.clock()))["keys"]}
    with pytest.raises(Exception, match="Unauthorized"):
        answer(authorizer_event(bearer(deployment.make_token(logins.admin))), Authorizer(deployment.runtime))


def test_two_rotations_over_one_version(logins: Logins, monkeypatch: pytest.MonkeyPatch) -> None:
    deployment, client = logins.deployment, platform(logins.deployment)
    secrets_client = deployment.secrets_client
    read, went_first = secrets_client.get_secret_value, list[int]()

    def read_then_lose(**arguments: Any) -> Any:
        found = read(**arguments)
        if not went_first:
            went_first.append(0)
            went_first[0] = client.post("/v1/signing-keys/rotate").status_code
        return found

    monkeypatch.setattr(secrets_client, "get_secret_value", read_then_lose)
    assert client.post("/v1/signing-keys/rotate").status_code == 409
    assert went_first == [200]
    assert len(client.get("/v1/signing-keys").json()["data"]) == 2
    keys = deployment.runtime.secrets.signing_keys()
    assert choose_signer(keys, deployment.clock()) == keys[0]


def test_a_tenant_may_not(logins: Logins) -> None:
    fields = tenant_fields(tenant_id=logins.made.tenant.id)
    client = call_as(functions.platform.app.build(lambda: logins.deployment.runtime), fields)
    for answered in (client.get("/v1/signing-keys"), client.post("/v1/signing-keys/rotate")):
        assert (answered.status_code, answered.json()["code"]) == (403, "SCOPE_REQUIRED")
