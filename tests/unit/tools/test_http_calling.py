"""Calls of HTTP tools: the request, the response, and secrets, which are only in the request."""

import json
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import pytest
from atrium.kernel.ids import ToolId
from atrium.tools.http.calling import ERROR_CHARACTERS_MAX, HttpTool, make_tool
from atrium.tools.http.model import RequestTemplate, ToolDefinition
from atrium.tools.registry import ToolAnswer, ToolRegistry

from tests.builders.http_tools import SCHEMA, SECRET, http_tools, request_to
from tests.builders.loops import tool_context
from tests.builders.tenant_env import OTHER_TENANT, TENANT, TenantEnv, context_of
from tests.unit.egress.sites import Answer, Site, say

pytestmark = pytest.mark.loopback


def json_answer(body: object, status: int = 200) -> Answer:
    return say(status, json.dumps(body).encode(), content_type="application/json; charset=utf-8")


class Called:
    """A server that gives some answers, and a tool that calls it with the secret `KEY`."""

    def __init__(self, tenant_env: TenantEnv, site: Site) -> None:
        http_tools(tenant_env)
        self.tenant_env, self.site = tenant_env, site

    def tool(self, path: str = "/weather/{city}", *, effect: Any = "pure", **http: Any) -> HttpTool:
        now, request = self.tenant_env.clock(), request_to(f"http://127.0.0.1:{self.site.port}{path}", **http)
        tool = ToolDefinition(ToolId("tol_1"), "weather", "W.", SCHEMA, request, effect, "read", now, now)
        sealed = self.tenant_env.encryption().encrypt(tool.purpose, json.dumps({"KEY": SECRET}))
        return make_tool(replace(tool, secret_names=("KEY",), sealed_secrets=sealed))

    def call(self, tool: HttpTool, **arguments: Any) -> ToolAnswer:
        services = self.tenant_env.services(context_of())
        context = tool_context(self.tenant_env.clock, services=services)
        context = replace(context, idempotency_key="run_1-call_1")
        return ToolRegistry([tool]).call("weather", {"city": "Rome", **arguments}, context)

    def sent(self) -> tuple[str, dict[str, str], bytes]:
        """Return the request line, the headers and the body of the only request."""
        (request,) = self.site.seen
        head, _, body = request.partition(b"\r\n\r\n")
        line, *headers = head.decode().split("\r\n")
        pairs = (each.lower().partition(": ") for each in headers)
        return line, {name: value for name, _, value in pairs}, body


@pytest.fixture
def answers() -> list[Answer]:
    return [json_answer({"sky": "clear"})]


@pytest.fixture
def called(tenant_env: TenantEnv, answers: list[Answer]) -> Iterator[Called]:
    with Site(answers).open() as site:
        yield Called(tenant_env, site)


def test_sends_the_request(called: Called) -> None:
    tool = called.tool(
        "/weather/{city}?lang=en&key={{secret.KEY}}", method="POST", query={"days": "{days}", "detail": "{detail}"},
        headers={"Authorization": "Bearer {{secret.KEY}}", "X-Fixed": "1"},
        body={"city": "{city}", "days": "{days}", "key": "{{secret.KEY}}"},
    )  # fmt: skip
    assert called.call(tool, city="New York", days=3) == ToolAnswer('{"sky":"clear"}', is_error=False)
    line, headers, body = called.sent()
    assert line == f"POST /weather/New%20York?lang=en&key={quote(SECRET, safe='')}&days=3 HTTP/1.1"
    assert headers["authorization"] == f"bearer {SECRET.lower()}"
    assert (headers["x-fixed"], headers["content-type"]) == ("1", "application/json")
    assert json.loads(body) == {"city": "New York", "days": 3, "key": SECRET}
    assert "idempotency-key" not in headers


def test_an_idempotent_tool_sends_the_key_of_the_call(called: Called) -> None:
    called.call(called.tool(effect="idempotent", method="PUT"))
    assert called.sent()[1]["idempotency-key"] == "run_1-call_1"


def test_wrong_arguments_are_not_sent(called: Called) -> None:
    answer = called.call(called.tool(), days="three")
    assert answer.text == "The arguments are not valid: days: 'three' is not of type 'integer'"
    assert ToolRegistry([called.tool()]).find_problem("weather", {}) == ": 'city' is a required property"
    assert not called.site.seen


@pytest.mark.parametrize(
    ("answers", "text", "is_error"),
    [
        ([say(200, b"<p>Sunny</p>", content_type="text/html")], "Sunny", False),
        ([say(200, b"Sunny", content_type="text/plain")], "Sunny", False),
        ([say(204)], "[The response has no content.]", False),
        ([say(200, b'{"a": [1.0, null]}', content_type="application/problem+json")], '{"a":[1.0,null]}', False),
        ([say(200, b"\x89PNG", content_type="image/png")], 'its content type is "image/png"', True),
        ([say(200, b"{", content_type="application/json")], "not valid JSON", True),
        ([say(200, b"[" * 100_000, content_type="application/json")], "not valid JSON", True),
        ([say(200, b"x" * 1_000_001, content_type="text/plain")], "longer than 1000000 bytes", True),
        (
            [json_answer({"error": "city"}, 404)],
            'The server answered with the status 404. {"error":"city"}',
            True,
        ),
        ([say(500, b"\x00", content_type="image/png")], "The server answered with the status 500.", True),
        ([say(302, location="http://169.254.169.254/")], "status 302. Redirects are not followed.", True),
    ],
)
def test_the_response_is_text_or_json(called: Called, text: str, is_error: bool) -> None:
    answer = called.call(called.tool())
    assert text in answer.text
    assert answer.is_error is is_error
    assert answer.defect is None


@pytest.mark.parametrize("answers", [[say(400, b"e" * 5_000, content_type="text/plain")]])
def test_the_text_of_an_error_is_bounded(called: Called) -> None:
    assert len(called.call(called.tool()).text) < ERROR_CHARACTERS_MAX + 100


ESCAPED = "".join(f"\\u{ord(letter):04x}" for letter in SECRET)
FORMS = [SECRET, json.dumps(SECRET)[1:-1], quote(SECRET, safe=""), b64encode(SECRET.encode()).decode()]


@pytest.mark.parametrize(
    "answers",
    [
        *([say(status, form.encode(), content_type="text/plain")] for form in FORMS for status in (200, 401)),
        [json_answer({"headers": {"authorization": f"Bearer {SECRET}"}})],
        [say(200, f'["{ESCAPED}"]'.encode(), content_type="application/json")],
        [say(200, f"<p>{SECRET}</p>".encode(), content_type="text/html")],
        [say(200, SECRET.encode("utf-16"), content_type="text/plain; charset=utf-16")],
    ],
)
def test_a_secret_that_the_server_returns_is_masked(called: Called) -> None:
    text = called.call(called.tool(headers={"Authorization": "{{secret.KEY}}"})).text
    assert "[SECRET]" in text
    assert not [form for form in FORMS if form in text]


def test_a_secret_is_sealed_for_one_host_and_tenant(called: Called, tenant_env: TenantEnv) -> None:
    definition = called.tool().run.args[0]  # type: ignore[attr-defined]  # the definition of a partial
    moved = replace(definition, http=RequestTemplate("GET", f"http://localhost:{called.site.port}/"))
    answer = called.call(make_tool(moved))
    assert "must set them again" in answer.text
    services = replace(tenant_env.services(context_of()), secret_encryption=lambda: tenant_env.encryption(OTHER_TENANT))
    context = tool_context(tenant_env.clock, tenant=TENANT, services=services)
    assert "must set them again" in ToolRegistry([called.tool()]).call("weather", {"city": "Rome"}, context).text
    assert not called.site.seen


def test_values_of_secrets_are_in_no_representation(called: Called) -> None:
    tool = called.tool(headers={"Authorization": "{{secret.KEY}}"})
    assert SECRET not in repr(tool)
    assert "secret" not in str(ToolRegistry([tool]).schemas()).lower()
