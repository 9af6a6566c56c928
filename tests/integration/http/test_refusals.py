"""Each invalid request returns the documented status and code, and a problem without internal details."""

import gzip
import json
from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from tests.builders.gateway import OTHER_TENANT_ID, REQUEST_ID, call_as, platform_fields, tenant_fields
from tests.builders.runtimes import build_runtime
from tests.builders.things import build_things

THING = "thg_01k6r5m2x8f3v9q4w7t1y0z5ab"
MIB = 1_048_576
JSON = {"content-type": "application/json"}


@pytest.fixture
def client() -> TestClient:
    app, _ = build_things(build_runtime())
    return call_as(app, tenant_fields())


def refuse(
    client: TestClient, content: bytes, status: int, code: str, *, content_type: str = "application/json"
) -> str:
    response = client.post("/v1/things", content=content, headers={"content-type": content_type})
    assert (response.status_code, response.json()["code"]) == (status, code)
    assert response.headers["content-type"] == "application/problem+json"
    return response.text


def test_a_problem_has_every_member(client: TestClient) -> None:
    response = client.get("/v1/nothing")
    assert response.json() == {
        "type": "/docs/errors/NOT_FOUND",
        "title": "The resource was not found",
        "status": 404,
        "detail": "The resource was not found",
        "code": "NOT_FOUND",
        "request_id": REQUEST_ID,
        "retryable": False,
    }


@pytest.mark.parametrize(
    ("environment", "stage_prefix", "expected"),
    [
        ({"PUBLIC_URL": "https://api.example.org/"}, "/dev", "https://api.example.org/docs/errors/NOT_FOUND"),
        ({}, "/dev", "/dev/docs/errors/NOT_FOUND"),
        ({}, "", "/docs/errors/NOT_FOUND"),
    ],
)
def test_type_is_a_page_that_exists(environment: dict[str, str], stage_prefix: str, expected: str) -> None:
    app, _ = build_things(build_runtime(environment))
    assert call_as(app, None, stage_prefix=stage_prefix).get("/v1/nothing").json()["type"] == expected


@pytest.mark.parametrize(
    "content",
    [
        b"{",
        b"nonsense",
        b'{"name": "caf\xe9"}',
        '{"name": "x"}'.encode("utf-16"),
        '{"name": "\N{REPLACEMENT CHARACTER}"}'.encode(),
        b'{"name": NaN}',
        b'{"name": "\\ud800"}',
        b'{"metadata": {"\\udfff": 1}, "name": "x"}',
        b'{"name": "x", "metadata": {"a": 1e400}}',
        b"[" * 100_000,
        b'{"name": "x", "size": ' + b"9" * 5000 + b"}",
    ],
    ids=[
        "cut",
        "text",
        "latin-1",
        "utf-16",
        "replaced",
        "nan",
        "surrogate",
        "surrogate key",
        "infinite",
        "deep",
        "long number",
    ],
)
def test_400_what_is_not_json_in_utf_8(client: TestClient, content: bytes) -> None:
    refuse(client, content, 400, "MALFORMED")


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin-1", ""]
)
def test_415_another_type(client: TestClient, content_type: str) -> None:
    refuse(client, b'{"name": "x"}', 415, "UNSUPPORTED_MEDIA_TYPE", content_type=content_type)


def test_415_a_compressed_body(client: TestClient) -> None:
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    sent = client.post("/v1/things", content=gzip.compress(b'{"name": "x"}'), headers=headers)
    assert (sent.status_code, sent.json()["code"]) == (415, "UNSUPPORTED_MEDIA_TYPE")


def test_415_no_type(client: TestClient) -> None:
    response = client.send(client.build_request("POST", "/v1/things", content=b'{"name": "x"}'))
    assert response.status_code == 415


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "application/json; charset=utf-8",
        'Application/JSON;charset="UTF-8"',
        "application/json; version=1",
        "application/json;",
        'application/json; x="a;b"; charset=utf-8',
    ],
)
def test_json_in_utf_8_by_its_names(client: TestClient, content_type: str) -> None:
    sent = client.post("/v1/things", content='{"name": "é"}'.encode(), headers={"content-type": content_type})
    assert (sent.status_code, sent.json()["name"]) == (201, "é")


def test_413_by_its_length(client: TestClient) -> None:
    body = json.dumps({"name": "x" * MIB}).encode()
    refuse(client, body, 413, "PAYLOAD_TOO_LARGE")


def test_413_by_what_comes(client: TestClient) -> None:
    """A chunked request has no `Content-Length` header, so the bytes of its body are counted."""

    def send() -> Iterator[bytes]:
        for _ in range(11):
            yield b" " * 100_000

    response = client.post("/v1/things", content=send(), headers=JSON)
    assert (response.status_code, response.json()["code"]) == (413, "PAYLOAD_TOO_LARGE")


def test_accepts_exactly_one_mib(client: TestClient) -> None:
    frame = len(json.dumps({"name": ""}))
    sent = client.post("/v1/things", content=json.dumps({"name": "x" * (MIB - frame)}).encode(), headers=JSON)
    assert sent.status_code == 201


@pytest.mark.parametrize(
    ("body", "location", "kind"),
    [
        ({}, ["body", "name"], "missing"),
        ({"name": 5}, ["body", "name"], "string_type"),
        ({"name": "x", "size": "5"}, ["body", "size"], "int_type"),
        ({"name": "x", "size": 5.0}, ["body", "size"], "int_type"),
        ({"name": "x", "size": True}, ["body", "size"], "int_type"),
        ({"name": "x", "colour": "green"}, ["body", "colour"], "literal_error"),
        ({"name": "x", "other": "hush-hush"}, ["body", "other"], "extra_forbidden"),
        ({"name": "x", "due": 1700000000}, ["body", "due"], "value_error"),
        ({"name": "x", "due": "2026-11-21T12:00:00"}, ["body", "due"], "value_error"),
        ({"name": "x", "price": 1.5}, ["body", "price"], "value_error"),
        ({"name": "x", "price": "hush-hush"}, ["body", "price"], "value_error"),
        ("hush-hush", ["body"], "model_attributes_type"),
    ],
)
def test_422_says_where_and_why(client: TestClient, body: object, location: list[str], kind: str) -> None:
    text = refuse(client, json.dumps(body).encode(), 422, "VALIDATION_FAILED")
    errors = json.loads(text)["errors"]
    assert [(error["loc"], error["type"]) for error in errors] == [(location, kind)]
    assert set(errors[0]) == {"loc", "msg", "type"}
    assert "hush" not in text


def test_422_lists_twenty_errors_at_most(client: TestClient) -> None:
    text = refuse(client, json.dumps({f"f{n}": n for n in range(100)}).encode(), 422, "VALIDATION_FAILED")
    assert len(json.loads(text)["errors"]) == 20


@pytest.mark.parametrize("limit", ["0", "101", "-1", "1.0", " 1", "+1", "1_0", "٣", "", "x", "9" * 30])
def test_422_limit(client: TestClient, limit: str) -> None:
    response = client.get("/v1/things", params={"limit": limit})
    assert (response.status_code, response.json()["errors"][0]["loc"]) == (422, ["query", "limit"])


def test_422_unknown_query(client: TestClient) -> None:
    response = client.get("/v1/things?limit=5&limi=5")
    assert (response.status_code, response.json()["errors"][0]["loc"]) == (422, ["query", "limi"])


def test_404_an_id_that_cannot_be_one(client: TestClient) -> None:
    for thing_id in ["x", "ses_01k6r5m2x8f3v9q4w7t1y0z5ab", "thg_01K6R5M2X8F3V9Q4W7T1Y0Z5AB", THING + "%23x"]:
        response = client.delete(f"/v1/things/{thing_id}")
        assert (response.status_code, response.json()["code"]) == (404, "NOT_FOUND"), thing_id


def test_404_a_slash_too_many(client: TestClient) -> None:
    assert client.get("/v1/things/").status_code == 404


@pytest.mark.parametrize(
    ("path", "allow"), [("/v1/things", "GET, HEAD, POST"), (f"/v1/things/{THING}", "DELETE, GET, HEAD")]
)
def test_405_allows_all_methods_of_the_path(client: TestClient, path: str, allow: str) -> None:
    response = client.patch(path)
    assert (response.status_code, response.json()["code"]) == (405, "METHOD_NOT_ALLOWED")
    assert response.headers["allow"] == allow


def test_401_without_a_context(client: TestClient) -> None:
    app, _ = build_things(build_runtime())
    response = call_as(app, None).get("/v1/things")
    assert (response.status_code, response.json()["code"]) == (401, "UNAUTHENTICATED")
    assert "www-authenticate" not in response.headers


def test_400_the_platform_names_no_tenant() -> None:
    app, _ = build_things(build_runtime())
    response = call_as(app, platform_fields()).get("/v1/things")
    assert (response.status_code, response.json()["code"]) == (400, "TENANT_REQUIRED")


def test_403_another_tenant_in_the_body(client: TestClient) -> None:
    refuse(client, json.dumps({"name": "x", "tenant_id": OTHER_TENANT_ID}).encode(), 403, "TENANT_MISMATCH")


def test_403_a_scope_is_missing() -> None:
    app, _ = build_things(build_runtime())
    response = call_as(app, tenant_fields(scopes="chat")).get(f"/v1/things/{THING}")
    assert (response.status_code, response.json()["code"]) == (403, "SCOPE_REQUIRED")
    assert (
        response.json()["detail"]
        == "This call needs the scope agents:write, which an administrator of the tenant can grant."
    )


def test_500_says_nothing(client: TestClient, capsys: pytest.CaptureFixture[str]) -> None:
    response = client.get(f"/v1/things/{THING}")
    assert (response.status_code, response.json()["code"]) == (500, "INTERNAL")
    assert "internal text" not in response.text
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["message"] for line in lines] == ["unexpected failure", "access"]
    assert lines[0]["exception_name"] == "RuntimeError"
    assert "an internal text" in lines[0]["exception"]
    assert any("read_thing" in frame for frame in lines[0]["frames"])
