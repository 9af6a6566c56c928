"""A front server on a free port, with functions that echo requests, authorize requests, and stream responses."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import httpx

from infra.local.gateway.api import Api, CustomResponse, FixedIntegration, Route
from infra.local.gateway.front import Front
from infra.local.logs.stack_log import StackLog
from infra.local.ports import HOST, claim_port, port_of
from infra.local.servers import LocalServer
from tests.unit.local.builders import (
    buffered_route,
    make_api,
    running,
    stack_function,
    streaming_route,
    write_source,
)

ECHO = """
import json, os, time

def handler(event, context):
    query = event["queryStringParameters"] or {}
    match query.get("do"):
        case "raise": raise ValueError("no")
        case "sleep": time.sleep(3)
        case "broken": return {"status": 200}
        case "base64": return {"statusCode": 200, "body": "iVBORw==", "isBase64Encoded": True}
    return {
        "statusCode": int(query.get("status", 200)),
        "headers": {"Content-Type": "application/json", "WWW-Authenticate": "Bearer", "X-Once": "1"},
        "multiValueHeaders": {"Set-Cookie": ["a=1", "b=2"], "x-once": ["2"]},
        "body": json.dumps(event),
    }
"""
AUTHORIZER = """
def handler(event, context):
    match event["headers"].get("authorization"):
        case None: raise Exception("Unauthorized")
        case "crash": raise ValueError("no")
        case "odd": return {"principalId": "x", "context": {"list": []}}
        case "deny": effect, code = "Deny", "TENANT_INACTIVE"
        case _: effect, code = "Allow", ""
    statement = {"Effect": effect, "Action": "execute-api:Invoke", "Resource": event["methodArn"]}
    context = {"code": code, "tenant_id": "ten_1", "admin": True, "count": 3}
    return {"principalId": "p", "policyDocument": {"Statement": [statement]}, "context": context}
"""
# A raw ASGI application. It echoes the request, sends five chunks, and writes a log line at its end.
STREAM = """
import asyncio, json, os

async def app(scope, receive, send):
    body = (await receive()).get("body", b"")
    headers = {name.decode(): value.decode() for name, value in scope["headers"]}
    told = {"path": scope["path"], "query": scope["query_string"].decode(), "headers": headers, "body": body.decode()}
    start = {"type": "http.response.start", "status": 404 if body == b"refuse" else 200, "headers": [(b"x-pid", b"1")]}
    await send(start)
    if scope["path"] == "/ready":
        await send({"type": "http.response.body", "body": b"ok"})
        return
    await send({"type": "http.response.body", "body": json.dumps(told).encode() + b"\\n", "more_body": True})
    for number in range(5):
        await asyncio.sleep(float(headers.get("x-pause", 0)))
        if body == b"die" and number == 2:
            os._exit(9)
        await send({"type": "http.response.body", "body": b"piece %d\\n" % number, "more_body": number < 4})
    print("got to the end", flush=True)
"""
RUN = """#!/bin/sh
exec python -m uvicorn stream:app --host 127.0.0.1 --port "$AWS_LWA_PORT" --log-level warning
"""
API = make_api(
    buffered_route("GET", "/v1/things/{thing_id}", authorizer="authorizer"),
    buffered_route("POST", "/v1/open"),
    buffered_route("GET", "/v1/open"),
    Route("OPTIONS", "/v1/open", None, FixedIntegration(200, {"access-control-allow-origin": "*"}, "{}")),
    streaming_route("POST", "/v1/stream", "stream"),
    streaming_route("POST", "/v1/short", "stream", timeout_seconds=0.5),
    streaming_route("GET", "/v1/wrong", "echo"),
    buffered_route("GET", "/v1/buffered", function="stream"),
    responses={
        "ACCESS_DENIED": CustomResponse(403, {}, {"application/json": '{"code":"$context.authorizer.code"}'}),
        "DEFAULT_5XX": CustomResponse(None, {}, {"application/json": '{"request_id":"$context.requestId"}'}),
    },
    binary_types=("image/png",),
)

type Visit = Callable[[httpx.AsyncClient], Awaitable[None]]


@contextlib.asynccontextmanager
async def front(root: Path, api: Api, stage_prefix: str) -> AsyncIterator[httpx.AsyncClient]:
    functions = (
        stack_function("echo", "echo.handler", timeout_seconds=2),
        stack_function("authorizer", "authorizer.handler"),
        stack_function(
            "stream",
            "run.sh",
            AWS_LAMBDA_EXEC_WRAPPER="/opt/bootstrap",
            AWS_LWA_READINESS_CHECK_PATH="/ready",
            timeout_seconds=4,
        ),
    )
    async with running(root, *functions) as service:
        with contextlib.closing(StackLog(root / "front.log", None)) as log:
            application = Front(api, service, log, stage_prefix)
            claimed = claim_port(0)
            url = f"http://{HOST}:{port_of(claimed)}"
            server = LocalServer(application, claimed)
            await server.start()
            try:
                async with httpx.AsyncClient(base_url=url, timeout=300, trust_env=False) as client:
                    yield client
            finally:
                await server.stop()
                await application.close()


def visit(root: Path, work: Visit, *, stage_prefix: str = "") -> None:
    write_source(root, {"echo.py": ECHO, "authorizer.py": AUTHORIZER, "stream.py": STREAM, "run.sh": RUN})

    async def bounded() -> None:
        async with asyncio.timeout(40), front(root, API, stage_prefix) as client:
            await work(client)

    asyncio.run(bounded())
