"""The front server over HTTP with real functions: routes, responses and error responses."""

from pathlib import Path

import httpx
import pytest

from infra.local.gateway.requests import BODY_BYTES_MAX
from tests.unit.local.fronts import visit

pytestmark = pytest.mark.loopback


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


def test_gateways_own_answers(tmp_path: Path) -> None:
    async def work(client: httpx.AsyncClient) -> None:
        preflight = await client.options("/v1/open")
        assert (preflight.status_code, preflight.text) == (200, "{}")
        assert preflight.headers["access-control-allow-origin"] == "*"
        for method, path in (("GET", "/v1/nothing"), ("DELETE", "/v1/open"), ("OPTIONS", "/v1/nothing")):
            assert (await client.request(method, path)).status_code == 403
        large = await client.post("/v1/open", content=b"x" * (BODY_BYTES_MAX + 1))
        assert large.status_code == 413
        # This body is larger than Lambda's limit, but smaller than the gateway's limit.
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
