"""Requests in the format of API Gateway: REST proxy events, and a test client that adds an event to the ASGI scope."""

import atexit
import base64
import json
from collections.abc import Mapping
from contextlib import ExitStack
from functools import cache
from typing import Any

from anyio.from_thread import BlockingPortal, start_blocking_portal
from atrium.http.app import Application
from atrium.identity.context import to_authorizer_context
from atrium.kernel.ids import TenantId
from atrium.tenants.context import Caller, Principal, TenantContext
from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.testclient import TestClient
from starlette.types import Message, Receive, Scope, Send

from infra.iam.calls import acting

TENANT_ID = "ten_01k6r5m2x8f3v9q4w7t1y0z5ab"
OTHER_TENANT_ID = "ten_01k6r5m2x8f3v9q4w7t1y0z5ac"
KEY_ID = "key_01k6r5m2x8f3v9q4w7t1y0z5ad"
REQUEST_ID = "c6af9ac6-7b61-11e6-9a41-93e8deadbeef"

type Fields = Mapping[str, str | int | bool]


def tenant_fields(**changes: str | int | bool) -> Fields:
    """Return the authorizer's flat context for an API key that has all scopes of a tenant."""
    scopes = frozenset({"admin", "chat", "sessions:read", "sessions:write"})
    caller = Caller(Principal("key", KEY_ID, "first key", scopes), REQUEST_ID)
    return to_authorizer_context(TenantContext(TenantId(TENANT_ID), "acme", "pro", 1, caller)) | changes


def platform_fields(**changes: str | int | bool) -> Fields:
    """Return the authorizer's flat context for a platform key without a tenant."""
    caller = Caller(Principal("platform", KEY_ID, "platform", frozenset({"platform"})), REQUEST_ID)
    return to_authorizer_context(caller) | changes


def request_context(path: str, fields: Fields | None, *, stage_prefix: str = "") -> dict[str, Any]:
    """Return the `requestContext` of an event. `stage_prefix` is the path prefix of the default endpoint (`/dev`)."""
    context: dict[str, Any] = {
        "requestId": REQUEST_ID,
        "path": stage_prefix + path,
        "stage": stage_prefix.removeprefix("/") or "dev",
        "identity": {"sourceIp": "203.0.113.7"},
    }
    if fields is not None:
        context["authorizer"] = {name: str(value) for name, value in fields.items()} | {"principalId": "x"}
    return context


def rest_event(
    method: str,
    path: str,
    *,
    fields: Fields | None = None,
    body: object = None,
    headers: Mapping[str, str] | None = None,
    query: Mapping[str, str] | None = None,
    stage_prefix: str = "",
) -> dict[str, Any]:
    """Build a REST proxy event. A `bytes` body is encoded as base64, any other body as JSON."""
    sent = {"Host": "example.org", "X-Forwarded-Proto": "https", **(headers or {})}
    if body is not None:
        sent.setdefault("Content-Type", "application/json")
    raw = isinstance(body, bytes)
    text = base64.b64encode(body).decode() if isinstance(body, bytes) else json.dumps(body)
    return {
        "resource": path,
        "path": path,
        "httpMethod": method,
        "headers": sent,
        "multiValueHeaders": {name: [value] for name, value in sent.items()},
        "queryStringParameters": dict(query) if query else None,
        "multiValueQueryStringParameters": {name: [value] for name, value in query.items()} if query else None,
        "pathParameters": None,
        "stageVariables": None,
        "requestContext": request_context(path, fields, stage_prefix=stage_prefix),
        "body": None if body is None else text,
        "isBase64Encoded": raw,
    }


class LambdaContext:
    """The context object that Lambda passes to a handler."""

    function_name = "tested"
    memory_limit_in_mb = 512
    invoked_function_arn = "arn:aws:lambda:eu-central-1:000000000000:function:tested"
    aws_request_id = "8f507cfc-1c1e-4e3f-8f5b-000000000000"

    def __init__(self, remaining_ms: int = 25_000) -> None:
        self._remaining_ms = remaining_ms

    def get_remaining_time_in_millis(self) -> int:
        return self._remaining_ms


class Gateway:
    """An ASGI wrapper that adds an API Gateway event to the scope of each request, like Mangum."""

    def __init__(
        self,
        app: FastAPI,
        fields: Fields | None,
        *,
        stage_prefix: str = "",
        remaining_ms: int = 25_000,
        documented: bool = True,
    ) -> None:
        self.app = app
        self.documented_app = share_routes(app) if isinstance(app, Application) else app
        self.fields = fields
        self.stage_prefix = stage_prefix
        self.remaining_ms = remaining_ms
        self.documented = documented

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope["aws.event"] = {
                "requestContext": request_context(scope["path"], self.fields, stage_prefix=self.stage_prefix)
            }
            scope["aws.context"] = LambdaContext(self.remaining_ms)
            acting.set(getattr(self.app, "title", " ").split(" ")[-1].lower().replace("administration", "admin"))
        sent: list[int] = []

        async def note(message: Message) -> None:
            if message["type"] == "http.response.start":
                sent.append(message["status"])
            await send(message)

        await self.app(scope, receive, note)
        if scope["type"] == "http" and self.documented:
            assert_documented(self.documented_app, scope, sent)


def assert_documented(app: FastAPI, scope: Scope, statuses: list[int]) -> None:
    """Assert that the OpenAPI document lists these response statuses for the route of a request."""
    route = scope.get("route")
    if isinstance(app, Application) and isinstance(route, APIRoute) and route.include_in_schema:
        operation = app.openapi()["paths"].get(route.path, {}).get(scope["method"].lower(), {})
        missing = [status for status in statuses if operation and str(status) not in operation["responses"]]
        assert not missing, f"{scope['method']} {route.path} answers {missing}: add problem_responses(...) to the route"


_applications: dict[tuple[int, ...], FastAPI] = {}


def share_routes(app: FastAPI) -> FastAPI:
    """Give an application the routes of the first application with the same routers. Return the first application.

    FastAPI prepares the routes and the document of each application, which takes longer than most tests.
    """
    assert not app.dependency_overrides
    dependencies = tuple(id(each.dependency) for each in app.router.dependencies)
    routers = tuple(id(getattr(route, "original_router", route)) for route in app.routes)
    first = _applications.setdefault((*dependencies, *routers), app)
    app.router.routes[:] = first.router.routes
    return first


def call_as(
    app: FastAPI,
    fields: Fields | None,
    *,
    stage_prefix: str = "",
    remaining_ms: int = 25_000,
    documented: bool = True,
) -> TestClient:
    """Return a client whose requests have this authorizer context (None for a route without an authorizer)."""
    gateway = Gateway(app, fields, stage_prefix=stage_prefix, remaining_ms=remaining_ms, documented=documented)
    client = TestClient(gateway, base_url="https://example.org", headers={"authorization": "Bearer atr_dev_tested"})
    client.portal = _portal()
    return client


@cache
def _portal() -> BlockingPortal:
    """Return the event loop that all clients of this process share.

    Without a shared loop, each request would start a loop and a thread.
    """
    stack = ExitStack()
    atexit.register(stack.close)
    portal = stack.enter_context(start_blocking_portal())
    stack.callback(portal.call, portal.stop, True)  # cancels requests that have not ended
    return portal
