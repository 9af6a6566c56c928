"""Builds the events that API Gateway sends to an authorizer and to a function (payload format 1.0)."""

import base64
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from infra.local.gateway.api import Api
from infra.local.gateway.requests import GatewayRequest
from infra.local.gateway.routes import Match
from infra.runtime.resources import REGION
from infra.runtime.template import PSEUDO

type Event = dict[str, Any]

ACCOUNT_ID = PSEUDO["AWS::AccountId"]
_NO_CALLER = (
    "accessKey",
    "accountId",
    "caller",
    "cognitoAuthenticationProvider",
    "cognitoAuthenticationType",
    "cognitoIdentityId",
    "cognitoIdentityPoolId",
    "principalOrgId",
    "user",
    "userArn",
)


@dataclass(frozen=True)
class Call:
    """A request with its route and API. `stage_prefix` precedes all paths of the API."""

    api: Api
    request: GatewayRequest
    match: Match
    stage_prefix: str

    @property
    def method_arn(self) -> str:
        """Return the ARN that an authorizer's policy must allow."""
        path = self.request.path.lstrip("/")
        return (
            f"arn:aws:execute-api:{REGION}:{ACCOUNT_ID}:{self.api.api_id}/{self.api.stage}/{self.request.method}/{path}"
        )


def context_event(call: Call, authorizer: Event | None = None) -> Event:
    """Return the request context, including the authorizer's context if there is one."""
    resource = call.match.route.resource
    context = base_context(call.api, call.request, call.stage_prefix)
    context |= {"resourceId": resource, "resourcePath": resource}
    if authorizer is not None:
        context["authorizer"] = authorizer
    return context


def base_context(api: Api, request: GatewayRequest, stage_prefix: str) -> Event:
    """Return the part of the request context that does not depend on the route."""
    moment = datetime.fromtimestamp(request.received_at, UTC)
    return {
        "accountId": ACCOUNT_ID,
        "apiId": api.api_id,
        "domainName": request.header("host"),
        "domainPrefix": request.header("host").partition(".")[0],
        "extendedRequestId": request.request_id,
        "httpMethod": request.method,
        "identity": {
            **dict.fromkeys(_NO_CALLER),
            "sourceIp": request.source_ip,
            "userAgent": request.header("user-agent") or None,
        },
        "path": f"{stage_prefix}{request.path}",
        "protocol": "HTTP/1.1",
        "requestId": request.request_id,
        "requestTime": f"{moment:%d/%b/%Y:%H:%M:%S +0000}",
        "requestTimeEpoch": int(request.received_at * 1000),
        "stage": api.stage,
    }


def authorizer_event(call: Call) -> Event:
    """Return the event for a REQUEST authorizer."""
    return {
        "type": "REQUEST",
        "methodArn": call.method_arn,
        **_common(call),
        "requestContext": context_event(call),
    }


def proxy_event(call: Call, authorizer: Event | None) -> Event:
    """Return the event for a function. A body with a binary media type is base64-encoded; other bodies are text."""
    request = call.request
    is_binary = bool(request.body) and _is_binary(request.header("content-type"), call.api.binary_types)
    text = base64.b64encode(request.body).decode() if is_binary else request.body.decode("utf-8", "replace")
    return {
        **_common(call),
        "requestContext": context_event(call, authorizer),
        "body": text if request.body else None,
        "isBase64Encoded": is_binary,
    }


def dump(event: Event) -> bytes:
    """Return an event as JSON bytes."""
    return json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode()


def forwarded_headers(request: GatewayRequest) -> list[tuple[str, str]]:
    """Return the client's headers and the headers that the gateway adds."""
    kept = [(name, value) for name, value in request.headers if not name.startswith("x-forwarded-")]
    hops = [value for name, value in request.headers if name == "x-forwarded-for"]
    return [
        *kept,
        ("x-amzn-trace-id", request.trace_id),
        ("x-forwarded-for", ", ".join([*hops, request.source_ip])),
        ("x-forwarded-port", request.header("host").partition(":")[2] or "80"),
        ("x-forwarded-proto", "http"),
    ]


def _common(call: Call) -> Event:
    request = call.request
    headers = forwarded_headers(request)
    return {
        "resource": call.match.route.resource,
        "path": request.path,
        "httpMethod": request.method,
        "headers": dict(headers),
        "multiValueHeaders": _gather(headers),
        "queryStringParameters": dict(request.query) or None,
        "multiValueQueryStringParameters": _gather(request.query) or None,
        "pathParameters": call.match.parameters or None,
        "stageVariables": None,
    }


def _gather(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    gathered: dict[str, list[str]] = {}
    for name, value in pairs:
        gathered.setdefault(name, []).append(value)
    return gathered


def _is_binary(content_type: str, binary_types: Iterable[str]) -> bool:
    media_type = content_type.partition(";")[0].strip().lower()
    return any(kind in {"*/*", media_type} for kind in binary_types)
