"""Behind the Lambda Web Adapter, the context is read only from a header that the adapter overwrites."""

import json

import pytest
from starlette.testclient import TestClient
from starlette.types import Receive, Scope, Send

from tests.builders.gateway import KEY_ID, REQUEST_ID, TENANT_ID, request_context, tenant_fields
from tests.builders.runtimes import build_runtime
from tests.builders.things import build_things


@pytest.fixture
def client() -> TestClient:
    app, _ = build_things(build_runtime(), context_source="adapter")
    return TestClient(app, base_url="https://example.org")


def context_header(*, stage_prefix: str = "") -> str:
    return json.dumps(request_context("/v1/things", tenant_fields(), stage_prefix=stage_prefix))


def test_the_adapters_header_is_the_context(client: TestClient, capsys: pytest.CaptureFixture[str]) -> None:
    response = client.get("/v1/things", headers={"x-amzn-request-context": context_header()})
    assert response.status_code == 200
    assert response.headers["x-request-id"] == REQUEST_ID
    line = json.loads(capsys.readouterr().out)
    assert (line["tenant_id"], line["principal_id"]) == (TENANT_ID, KEY_ID)


def test_reads_nested_context_fields(client: TestClient) -> None:
    context = json.loads(context_header())
    context["authorizer"] = {"lambda": context["authorizer"]}
    response = client.get("/v1/things", headers={"x-amzn-request-context": json.dumps(context)})
    assert response.status_code == 200


@pytest.mark.parametrize("header", ["", "{", "[]", '"x"', "{}", '{"authorizer": null}', '{"authorizer": {"a": 1}}'])
def test_401_without_context(client: TestClient, header: str) -> None:
    assert client.get("/v1/things", headers={"x-amzn-request-context": header}).status_code == 401


def test_rejects_a_repeated_context_header(client: TestClient) -> None:
    headers = [("x-amzn-request-context", context_header()), ("x-amzn-request-context", context_header())]
    assert client.get("/v1/things", headers=headers).status_code == 401


def test_ignores_an_event_in_the_scope() -> None:
    app, _ = build_things(build_runtime(), context_source="adapter")

    async def inject(scope: Scope, receive: Receive, send: Send) -> None:
        scope["aws.event"] = {"requestContext": request_context("/v1/things", tenant_fields())}
        await app(scope, receive, send)

    assert TestClient(inject).get("/v1/things").status_code == 401


def test_the_stage_is_in_links(client: TestClient) -> None:
    headers = {"x-amzn-request-context": context_header(stage_prefix="/dev")}
    response = client.post("/v1/things", json={"name": "x"}, headers=headers)
    assert response.headers["location"] == "/dev/v1/things/1"
