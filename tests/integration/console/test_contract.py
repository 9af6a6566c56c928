"""The console serves the complete OpenAPI document with the address of the deployment."""

import json

from starlette.testclient import TestClient

from functions.console.app import build
from functions.console.contract import DOCUMENT
from tests.builders.gateway import LambdaContext, call_as, rest_event
from tests.builders.runtimes import build_runtime


def test_the_committed_document_is_served(client: TestClient) -> None:
    response = client.get("/v1/openapi.json")
    committed = json.loads(DOCUMENT.read_text())
    assert response.headers["content-type"] == "application/json"
    assert response.json() == {**committed, "servers": [{"url": "/dev"}]}
    assert response.json()["openapi"].startswith("3.1")


def test_its_server_is_the_public_address() -> None:
    client = call_as(build(build_runtime({"PUBLIC_URL": "https://api.acme.example"})), None)
    assert client.get("/v1/openapi.json").json()["servers"] == [{"url": "https://api.acme.example"}]


def test_the_handler_answers_an_event() -> None:
    from atrium.http.handler import make_handler

    handler = make_handler(build(build_runtime()))
    answer = handler(rest_event("GET", "/docs/errors"), LambdaContext())
    assert (answer["statusCode"], answer["isBase64Encoded"]) == (200, False)
    assert answer["headers"]["content-type"] == "text/html; charset=utf-8"
