"""Checks of the contract between a streaming function and its adapter.

The conformance tests run the checks on the real Lambda Web Adapter. The unit tests run them on the fake adapter.
"""

import itertools
import json
from typing import Any

from infra.runtime.api import RuntimeApi
from infra.runtime.results import Invocation
from infra.runtime.seed import EVENTS_TENANT
from tests.artifacts.running import read_event


def rest_event(path: str, *, method: str = "POST", body: str | None = "{}", **headers: str) -> bytes:
    """Build a REST proxy event like the events in tests/events. In header names, write `_` for `-`."""
    event = read_event("chat/answer")
    sent = event["headers"] | {name.replace("_", "-"): value for name, value in headers.items()}
    event |= {
        "resource": path,
        "path": path,
        "httpMethod": method,
        "headers": sent,
        "multiValueHeaders": {name: [value] for name, value in sent.items()},
        "queryStringParameters": {"after": "3", "q": "b c"},
        "multiValueQueryStringParameters": {"after": ["3"], "q": ["a", "b c"]},
        "body": body,
    }
    event["requestContext"] |= {"httpMethod": method, "resourcePath": path, "path": f"/dev{path}"}
    return json.dumps(event).encode()


def succeed(api: RuntimeApi, event: bytes) -> Invocation:
    result = api.invoke(event, 20)
    assert (result.status, result.error) == ("succeeded", None)
    assert result.prelude is not None
    return result


def check_request_arrives_whole(api: RuntimeApi) -> None:
    result = succeed(api, rest_event("/v1/echo", body='{"message":"é"}', Authorization="Bearer x", Accept="a/b"))
    seen: Any = result.json()
    headers = {name.lower(): value for name, value in seen["headers"]}
    assert (seen["method"], seen["body"]) == ("POST", '{"message":"é"}')
    assert seen["target"].startswith("/v1/echo?")
    assert sorted(seen["target"].partition("?")[2].replace("%20", "+").split("&")) == ["after=3", "q=a", "q=b+c"]
    assert (headers["authorization"], headers["accept"]) == ("Bearer x", "a/b")
    context = json.loads(headers["x-amzn-request-context"])
    sent = read_event("chat/answer")["requestContext"]
    assert context["authorizer"] == sent["authorizer"]
    assert context["identity"]["sourceIp"] == sent["identity"]["sourceIp"]
    assert (context["requestId"], context["path"]) == (sent["requestId"], "/dev/v1/echo")
    assert json.loads(headers["x-amzn-lambda-context"])["request_id"] == result.request_id


def check_forged_context_is_replaced(api: RuntimeApi) -> None:
    forged = json.dumps({"authorizer": {"tenant_id": "ten_forged"}})
    event = rest_event("/v1/echo", x_amzn_request_context=forged, X_Amzn_Lambda_Context="{}")
    seen: Any = succeed(api, event).json()
    contexts = [json.loads(value) for name, value in seen["headers"] if name.lower() == "x-amzn-request-context"]
    assert [context["authorizer"]["tenant_id"] for context in contexts] == [EVENTS_TENANT.id]
    assert "forged" not in json.dumps(seen["headers"])


def check_tenant_header_of_the_client_passes(api: RuntimeApi) -> None:
    """Check that the adapter forwards the client's `x-amz-tenant-id` header.

    A client can forge this header, so functions must not read it.
    """
    seen: Any = succeed(api, rest_event("/v1/echo", x_amz_tenant_id="ten_forged")).json()
    assert ["x-amz-tenant-id", "ten_forged"] in [[name.lower(), value] for name, value in seen["headers"]]


def check_pieces_keep_their_times(api: RuntimeApi) -> None:
    result = succeed(api, rest_event("/v1/stream"))
    assert result.prelude is not None
    assert result.prelude.headers["content-type"] == "text/event-stream"
    assert result.payload == b"id: 1\n\nid: 2\n\nid: 3\n\nid: 4\n\n"
    times = [chunk.seconds for chunk in result.chunks]
    assert len(times) == 4
    assert times[0] < 0.3
    assert all(0.2 < later - earlier < 0.45 for earlier, later in itertools.pairwise(times))


def check_refusal_keeps_status_headers_and_cookies(api: RuntimeApi) -> None:
    result = succeed(api, rest_event("/v1/refuse", method="GET", body=None))
    assert result.prelude is not None
    assert result.prelude.status == 403
    assert result.prelude.headers["content-type"] == "application/problem+json"
    assert result.prelude.cookies == ("a=1", "b=2")
    assert result.json() == {"code": "SCOPE_REQUIRED", "status": 403}


CHECKS = (
    check_request_arrives_whole,
    check_forged_context_is_replaced,
    check_tenant_header_of_the_client_passes,
    check_pieces_keep_their_times,
    check_refusal_keeps_status_headers_and_cookies,
)
