"""Streams over HTTP: chunks arrive when they are sent, and broken streams are handled."""

import json
import time
from pathlib import Path

import httpx
import pytest

from tests.unit.local.builders import read_log, until
from tests.unit.local.fronts import visit

pytestmark = pytest.mark.loopback


def test_stream_comes_piece_by_piece(tmp_path: Path) -> None:
    async def work(client: httpx.AsyncClient) -> None:
        await client.post("/v1/stream")
        began = time.monotonic()
        arrivals: list[float] = []
        async with client.stream("POST", "/v1/stream", headers={"x-pause": "0.2"}) as answer:
            async for _ in answer.aiter_raw():
                arrivals.append(time.monotonic() - began)
        assert len(arrivals) == 6
        assert arrivals[-1] > 0.95
        assert arrivals[0] < arrivals[-1] - 0.5, "the first piece came long before the last"

    visit(tmp_path, work)


def test_application_gets_the_adapters_headers(tmp_path: Path) -> None:
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
    assert "ERROR stream       exited unexpectedly with status 9" in read_log(tmp_path)
    assert "POST /v1/stream broke off" in (tmp_path / "front.log").read_text()


def test_client_that_leaves_is_not_noticed(tmp_path: Path) -> None:
    async def work(client: httpx.AsyncClient) -> None:
        async with client.stream("POST", "/v1/stream", headers={"x-pause": "0.1"}) as answer:
            async for _ in answer.aiter_raw():
                break
        await until(lambda: "got to the end" in read_log(tmp_path))

    visit(tmp_path, work)


def test_integration_and_function_have_separate_time_outs(tmp_path: Path) -> None:
    async def work(client: httpx.AsyncClient) -> None:
        await client.post("/v1/stream")
        with pytest.raises(httpx.RemoteProtocolError):
            await client.post("/v1/short", headers={"x-pause": "0.2"})
        await until(lambda: read_log(tmp_path).count("got to the end") == 2)
        with pytest.raises(httpx.RemoteProtocolError):
            await client.post("/v1/stream", headers={"x-pause": "3"})

    visit(tmp_path, work)
    assert read_log(tmp_path).count("got to the end") == 2


def test_transfer_mode_must_match_the_function(tmp_path: Path) -> None:
    async def work(client: httpx.AsyncClient) -> None:
        for path in ("/v1/wrong", "/v1/buffered"):
            assert (await client.get(path)).status_code == 502

    visit(tmp_path, work)
