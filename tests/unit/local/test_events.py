"""The events that the local gateway sends to functions and authorizers."""

import base64

from infra.local.gateway.events import authorizer_event, forwarded_headers, proxy_event
from tests.unit.local.builders import buffered_route, make_api, make_call, make_request

API = make_api(buffered_route("POST", "/v1/things/{thing_id}"), binary_types=("image/png",))
HEADERS = (("host", "api.example:8443"), ("user-agent", "curl"), ("accept", "a"), ("accept", "b"))


def test_proxy_event() -> None:
    request = make_request(
        "POST", "/v1/things/th%2F1", headers=HEADERS, query=(("a", "1"), ("a", "2"), ("b", "")), body="ü".encode()
    )
    event = proxy_event(make_call(API, request, "/dev"), {"tenant_id": "ten_1"})
    assert (event["resource"], event["path"]) == ("/v1/things/{thing_id}", "/v1/things/th%2F1")
    assert event["pathParameters"] == {"thing_id": "th/1"}
    assert event["queryStringParameters"] == {"a": "2", "b": ""}
    assert event["multiValueQueryStringParameters"] == {"a": ["1", "2"], "b": [""]}
    assert event["headers"]["accept"] == "b"
    assert event["multiValueHeaders"]["accept"] == ["a", "b"]
    assert (event["body"], event["isBase64Encoded"]) == ("ü", False)
    context = event["requestContext"]
    assert context["authorizer"] == {"tenant_id": "ten_1"}
    assert context["requestId"] == request.request_id
    assert context["identity"]["sourceIp"] == "203.0.113.7"
    assert context["identity"]["userAgent"] == "curl"
    assert (context["stage"], context["path"]) == ("dev", "/dev/v1/things/th%2F1")
    assert context["requestTime"] == "21/Nov/2026:09:38:57 +0000"
    assert context["requestTimeEpoch"] == 1_795_253_937_250


def test_absent_parts_are_null() -> None:
    event = proxy_event(make_call(make_api(buffered_route("GET", "/v1/things")), make_request()), None)
    for name in ("pathParameters", "queryStringParameters", "multiValueQueryStringParameters", "body"):
        assert event[name] is None
    assert "authorizer" not in event["requestContext"]


def test_body_of_a_binary_type_is_base64_and_of_no_other() -> None:
    raw = b"\x89PNG\xff"
    png = make_request("POST", "/v1/things/1", body=raw, headers=(("content-type", "image/png; q=1"),))
    event = proxy_event(make_call(API, png), None)
    assert base64.b64decode(event["body"]) == raw
    assert event["isBase64Encoded"]
    text = make_request("POST", "/v1/things/1", body=raw, headers=(("content-type", "application/json"),))
    assert proxy_event(make_call(API, text), None)["body"] == "�PNG�"


def test_authorizer_event() -> None:
    event = authorizer_event(make_call(API, make_request("POST", "/v1/things/1")))
    assert event["type"] == "REQUEST"
    assert event["methodArn"] == "arn:aws:execute-api:eu-central-1:123456789012:a1b2c3/dev/POST/v1/things/1"
    assert event["pathParameters"] == {"thing_id": "1"}
    assert "body" not in event


def test_forwarding_headers_are_the_gateways() -> None:
    sent = (("host", "h:81"), ("x-forwarded-for", "198.51.100.1"), ("x-forwarded-proto", "https"))
    headers = forwarded_headers(make_request(headers=sent))
    assert ("x-forwarded-for", "198.51.100.1, 203.0.113.7") in headers
    assert ("x-forwarded-port", "81") in headers
    assert [value for name, value in headers if name == "x-forwarded-proto"] == ["http"]
