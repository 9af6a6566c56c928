"""The OpenAPI document lists a route's possible error responses, derived from the route itself."""

from typing import Any

import pytest
from atrium.http.app import create_app
from atrium.kernel.errors import Conflict
from fastapi import APIRouter

from tests.builders.gateway import call_as
from tests.builders.runtimes import build_runtime
from tests.builders.things import build_things

ALWAYS = {"422", "429", "500", "503"}
SECURED = ALWAYS | {"400", "401", "403"}


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    app, _ = build_things(build_runtime())
    return app.openapi()


def statuses(document: dict[str, Any], path: str, method: str) -> set[str]:
    return set(document["paths"][path][method]["responses"])


def test_error_responses_follow_from_the_route(document: dict[str, Any]) -> None:
    assert statuses(document, "/v1/things", "get") == SECURED | {"200"}
    assert statuses(document, "/v1/things", "post") == SECURED | {"201", "409", "413", "415"}
    assert statuses(document, "/v1/things/{thing_id}", "delete") == SECURED | {"204", "404"}
    assert statuses(document, "/v1/asynchronous", "post") == SECURED | {"200", "409"}


def test_every_error_response_is_a_problem(document: dict[str, Any]) -> None:
    for item in document["paths"].values():
        for operation in item.values():
            for status, response in operation["responses"].items():
                if status >= "400":
                    assert response == {"$ref": f"#/components/responses/Problem{status}"}
    for response in document["components"]["responses"].values():
        assert list(response["content"]) == ["application/problem+json"]
    assert not {"HTTPValidationError", "ValidationError"} & set(document["components"]["schemas"])


def test_credentials_come_in_two_ways(document: dict[str, Any]) -> None:
    assert document["paths"]["/v1/things"]["get"]["security"] == [{"bearer": []}, {"apiKey": []}]
    assert set(document["components"]["securitySchemes"]) == {"bearer", "apiKey"}


def test_names(document: dict[str, Any]) -> None:
    listed = document["paths"]["/v1/things"]["get"]
    assert listed["operationId"] == "listThings"
    schema = listed["responses"]["200"]["content"]["application/json"]["schema"]
    assert schema == {"$ref": "#/components/schemas/ThingList"}
    assert "ThingList" in document["components"]["schemas"]


def test_created_resources_have_a_location(document: dict[str, Any]) -> None:
    created = document["paths"]["/v1/things"]["post"]["responses"]["201"]
    assert set(created["headers"]) == {"x-request-id", "Location"}


def test_only_posts_accept_an_idempotency_key(document: dict[str, Any]) -> None:
    takers = {
        (path, method)
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if any(parameter["name"] == "Idempotency-Key" for parameter in operation.get("parameters", []))
    }
    assert takers == {(path, "post") for path in document["paths"] if "post" in document["paths"][path]}


def test_a_status_that_the_document_does_not_have_fails_the_test_that_provokes_it() -> None:
    router = APIRouter()

    @router.get("/v1/locked")
    def read_locked() -> None:
        """Return 409."""
        raise Conflict

    client = call_as(create_app(title="Locked", routers=[router], runtime=build_runtime()), None)
    with pytest.raises(AssertionError, match=r"GET /v1/locked answers \[409\]: add problem_responses"):
        client.get("/v1/locked")
