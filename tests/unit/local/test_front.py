"""The front server over HTTP, with real functions behind it: what a client sees of routes, refusals and streams."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import httpx
import pytest

from infra.local.gateway.api import Api, CustomResponse, FixedIntegration, Route
from infra.local.gateway.front import Front
from infra.local.gateway.requests import BODY_BYTES_MAX
from infra.local.logs.journal import Journal
from infra.local.ports import HOST, claim_port, port_of
from infra.local.servers import LocalServer
from tests.unit.local.builders import (
    buffered_route,
    make_api,
    read_log,
    running,
    stack_function,
    streaming_route,
    until,
    write_source,
)

pytestmark = pytest.mark.loopback

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
# Raw ASGI: it says what it was told, then sends five pieces, and notes in the log that it got to its end.
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
AUTHORIZED = {"authorization": "ok"}
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
        with contextlib.closing(Journal(root / "front.log", None)) as journal:
            application = Front(api, service, journal, stage_prefix)
            claimed = claim_port(0)
            url = f"http://{HOST}:{port_of(claimed)}"
            server = LocalServer(application, claimed)
            await server.start()
            try:
                async with httpx.AsyncClient(base_url=url, timeout=20, trust_env=False) as client:
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


def test_authorizer_decides(tmp_path: Path) -> None:
    async def work(client: httpx.AsyncClient) -> None:
        answers = {
            credential: await client.get("/v1/things/1", headers={"authorization": credential} if credential else {})
            for credential in ("", "deny", "crash", "odd", "ok")
        }
        assert {name: answer.status_code for name, answer in answers.items()} == {
            "": 401,
            "deny": 403,
            "crash": 500,
            "odd": 500,
            "ok": 200,
        }
        assert answers["deny"].json() == {"code": "TENANT_INACTIVE"}
        assert answers["crash"].json() == {"request_id": answers["crash"].headers["x-amzn-requestid"]}
        context = answers["ok"].json()["requestContext"]
        assert context["authorizer"] == {
            "code": "",
            "tenant_id": "ten_1",
            "admin": "true",
            "count": "3",
            "principalId": "p",
        }
        assert context["requestId"] == answers["ok"].headers["x-amzn-requestid"]

    visit(tmp_path, work)


def test_buffered_answers(tmp_path: Path) -> None:
    async def work(client: httpx.AsyncClient) -> None:
        answer = await client.post("/v1/open?status=201", json={"a": "ü"})
        assert answer.status_code == 201
        assert answer.json()["body"] == '{"a":"ü"}'
        assert answer.headers.get_list("set-cookie") == ["a=1", "b=2"]
        assert answer.headers.get_list("x-once") == ["2"]
        assert answer.headers["x-amzn-remapped-www-authenticate"] == "Bearer"
        assert "www-authenticate" not in answer.headers
        for what in ("raise", "broken"):
            assert (await client.get(f"/v1/open?do={what}")).status_code == 502
        assert (await client.get("/v1/open?do=sleep")).status_code == 502
        png = await client.get("/v1/open?do=base64", headers={"accept": "image/png"})
        assert png.content == b"\x89PNG"
        assert (await client.get("/v1/open?do=base64")).content == b"iVBORw=="

    visit(tmp_path, work)


def test_what_the_gateway_answers_itself(tmp_path: Path) -> None:
    async def work(client: httpx.AsyncClient) -> None:
        preflight = await client.options("/v1/open")
        assert (preflight.status_code, preflight.text) == (200, "{}")
        assert preflight.headers["access-control-allow-origin"] == "*"
        for method, path in (("GET", "/v1/nothing"), ("DELETE", "/v1/open"), ("OPTIONS", "/v1/nothing")):
            assert (await client.request(method, path)).status_code == 403
        large = await client.post("/v1/open", content=b"x" * (BODY_BYTES_MAX + 1))
        assert large.status_code == 413
        # Larger than Lambda takes, though the gateway would.
        assert (await client.post("/v1/open", content=b"x" * (7 * 1024 * 1024))).status_code == 413

    visit(tmp_path, work)


def test_stage_prefix(tmp_path: Path) -> None:
    async def work(client: httpx.AsyncClient) -> None:
        answer = await client.post("/dev/v1/open")
        event = answer.json()
        assert (event["path"], event["requestContext"]["path"]) == ("/v1/open", "/dev/v1/open")
        for path in ("/v1/open", "/devil/v1/open"):
            outside = await client.post(path)
            assert (outside.status_code, outside.json()) == (403, {"message": "Forbidden"})

    visit(tmp_path, work, stage_prefix="/dev")


def test_stream_comes_piece_by_piece(tmp_path: Path) -> None:
    async def work(client: httpx.AsyncClient) -> None:
        await client.post("/v1/stream")
        began = time.monotonic()
        arrivals: list[float] = []
        async with client.stream("POST", "/v1/stream", headers={"x-pause": "0.2"}) as answer:
            async for _ in answer.aiter_raw():
                arrivals.append(time.monotonic() - began)
        assert arrivals[0] < 0.15
        assert [round(arrival / 0.2) for arrival in arrivals] == [0, 1, 2, 3, 4, 5]

    visit(tmp_path, work)


def test_application_is_told_what_the_adapter_tells(tmp_path: Path) -> None:
    forged = {"x-amzn-request-context": "forged", "x-amzn-trace-id": "forged", "x-amz-tenant-id": "forged"}

    async def work(client: httpx.AsyncClient) -> None:
        answer = await client.post("/v1/stream?a=1&b=%20c", headers=forged | {"x-kept": "1"}, content=b"body")
        told = json.loads(answer.text.splitlines()[0])
        assert (told["path"], told["query"], told["body"]) == ("/v1/stream", "a=1&b=+c", "body")
        context = json.loads(told["headers"]["x-amzn-request-context"])
        assert (context["resourcePath"], context["httpMethod"]) == ("/v1/stream", "POST")
        assert context["requestId"] == answer.headers["x-amzn-requestid"]
        assert context["identity"]["sourceIp"] == "127.0.0.1"
        deadline = json.loads(told["headers"]["x-amzn-lambda-context"])["deadline"] / 1000
        assert 0 < deadline - time.time() <= 4
        assert told["headers"]["x-kept"] == "1"
        assert "forged" not in told["headers"].values()
        assert (await client.post("/v1/stream", content=b"refuse")).status_code == 404

    visit(tmp_path, work)


def test_stream_that_breaks_off_is_cut(tmp_path: Path) -> None:
    async def work(client: httpx.AsyncClient) -> None:
        with pytest.raises(httpx.RemoteProtocolError):
            await client.post("/v1/stream", content=b"die")
        assert (await client.post("/v1/stream")).status_code == 200

    visit(tmp_path, work)
    assert "ERROR stream       ended by itself with status 9" in read_log(tmp_path)
    assert "POST /v1/stream broke off" in (tmp_path / "front.log").read_text()


def test_client_that_leaves_is_not_noticed(tmp_path: Path) -> None:
    async def work(client: httpx.AsyncClient) -> None:
        async with client.stream("POST", "/v1/stream", headers={"x-pause": "0.1"}) as answer:
            async for _ in answer.aiter_raw():
                break
        await until(lambda: "got to the end" in read_log(tmp_path))

    visit(tmp_path, work)


def test_integration_and_function_have_their_own_times(tmp_path: Path) -> None:
    async def work(client: httpx.AsyncClient) -> None:
        await client.post("/v1/stream")
        with pytest.raises(httpx.RemoteProtocolError):
            await client.post("/v1/short", headers={"x-pause": "0.2"})
        await until(lambda: read_log(tmp_path).count("got to the end") == 2)
        with pytest.raises(httpx.RemoteProtocolError):
            await client.post("/v1/stream", headers={"x-pause": "3"})

    visit(tmp_path, work)
    assert read_log(tmp_path).count("got to the end") == 2


def test_mode_that_does_not_fit_the_function(tmp_path: Path) -> None:
    async def work(client: httpx.AsyncClient) -> None:
        for path in ("/v1/wrong", "/v1/buffered"):
            assert (await client.get(path)).status_code == 502

    visit(tmp_path, work)
