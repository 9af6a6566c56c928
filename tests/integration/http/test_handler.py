"""The Lambda handler converts REST proxy events to requests, and responses to proxy responses."""

import json
from typing import Any

from atrium.http.handler import Handler, make_handler

from tests.builders.gateway import (
    REQUEST_ID,
    TENANT_ID,
    LambdaContext,
    platform_fields,
    request_context,
    rest_event,
    tenant_fields,
)
from tests.builders.runtimes import build_runtime
from tests.builders.things import build_things


def build_handler() -> Handler:
    app, _ = build_things(build_runtime())
    return make_handler(app)


def invoke(event: dict[str, Any]) -> dict[str, Any]:
    return build_handler()(event, LambdaContext())


def test_an_event_is_answered() -> None:
    answer = invoke(rest_event("POST", "/v1/things", fields=tenant_fields(), body={"name": "é"}, stage_prefix="/dev"))
    assert answer["statusCode"] == 201
    assert json.loads(answer["body"]) == {"name": "é", "number": 1}
    assert answer["isBase64Encoded"] is False
    assert answer["headers"]["location"] == "/dev/v1/things/1"
    assert answer["headers"]["x-request-id"] == REQUEST_ID


def test_a_handler_serves_several_events() -> None:
    handler = build_handler()
    event = rest_event("POST", "/v1/things", fields=tenant_fields(), body={"name": "x"})
    numbers = [json.loads(handler(event, LambdaContext())["body"])["number"] for _ in range(3)]
    assert numbers == [1, 2, 3]


def test_a_problem_is_text() -> None:
    answer = invoke(rest_event("GET", "/v1/nothing", fields=tenant_fields()))
    assert (answer["statusCode"], answer["isBase64Encoded"]) == (404, False)
    assert json.loads(answer["body"])["code"] == "NOT_FOUND"


def test_an_unexpected_error_is_a_problem() -> None:
    answer = invoke(rest_event("GET", "/v1/things/thg_01k6r5m2x8f3v9q4w7t1y0z5ab", fields=tenant_fields()))
    assert (answer["statusCode"], json.loads(answer["body"])["code"]) == (500, "INTERNAL")


def test_a_body_that_is_not_utf_8_arrives_in_base64() -> None:
    answer = invoke(rest_event("POST", "/v1/things", fields=tenant_fields(), body=b'{"name": "\xff"}'))
    assert (answer["statusCode"], json.loads(answer["body"])["code"]) == (400, "MALFORMED")


def test_query_of_the_event() -> None:
    answer = invoke(rest_event("GET", "/v1/things", fields=tenant_fields(), query={"limit": "3"}))
    assert len(json.loads(answer["body"])["data"]) == 3


def test_the_platform_inside_a_tenant() -> None:
    fields = platform_fields(tenant_id=TENANT_ID, tenant_name="acme", plan="pro", config_version="1", features="")
    assert invoke(rest_event("GET", "/v1/things", fields=fields))["statusCode"] == 200


def test_ignores_a_forged_context_header() -> None:
    forged = json.dumps(request_context("/v1/things", tenant_fields()))
    headers = {"x-amzn-request-context": forged, "x-amz-tenant-id": TENANT_ID}
    assert invoke(rest_event("GET", "/v1/things", headers=headers))["statusCode"] == 401
