"""Hostile URLs and servers, through `web_fetch` and through an HTTP tool: refused, audited once, and not connected.

The model chooses the URL of `web_fetch`. The URL of an HTTP tool is in its definition, so these tests call definitions
without the validation of `/v1/tools`, which rejects some of the URLs (`ONLY_FETCHED`). An HTTP tool does not follow
redirects.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import httpcore2
import pytest
from atrium.audit.bound import OF_TENANT_MAX
from atrium.audit.query import make_query
from atrium.egress.backend import resolve_name
from atrium.egress.client import EgressClient
from atrium.egress.destination import Rules
from atrium.kernel.errors import ValidationFailed
from atrium.kernel.ids import ToolId
from atrium.kernel.pagination import PageRequest
from atrium.tools import web
from atrium.tools.http.calling import RESPONSE_BYTES_MAX, make_tool
from atrium.tools.http.model import ToolDefinition, check_definition
from atrium.tools.model import Tool
from atrium.tools.registry import GuardedTools, ToolAnswer
from atrium.tools.web import WEB_FETCH

from tests.builders.http_tools import request_to
from tests.builders.loops import tool_context
from tests.builders.tenant_env import TenantEnv, context_of
from tests.unit.egress.sites import LOCAL, Answer, Names, Site, say
from tests.unit.egress.test_bounds import HEAD, drip, endless

pytestmark = pytest.mark.loopback

PUBLIC, PRIVATE = "93.184.215.14", "10.0.0.7"
PORT = 8_443  # allowed in these tests, so that only the check of the address prevents a connection
HOSTS = {
    "loopback": "127.0.0.1",
    "decimal": "2130706433",
    "octal": "0177.0.0.1",
    "octal without dots": "017700000001",
    "hexadecimal": "0x7f.0x0.0x0.0x1",
    "hexadecimal without dots": "0x7f000001",
    "two parts": "127.1",
    "three parts": "127.0.1",
    "zero": "0",
    "private": PRIVATE,
    "shared": "100.64.0.1",
    "link-local": "169.254.7.7",
    "metadata": "169.254.169.254",
    "decimal metadata": "2852039166",
    "metadata of another cloud": "100.100.100.200",
    "host service of a cloud": "168.63.129.16",
    "multicast": "224.0.0.1",
    "IPv6 loopback": "[::1]",
    "IPv6 unspecified": "[::]",
    "IPv6 link-local": "[fe80::1]",
    "IPv6 unique local, metadata": "[fd00:ec2::254]",
    "IPv4-mapped": "[::ffff:127.0.0.1]",
    "IPv4-mapped metadata": "[::ffff:a9fe:a9fe]",
    "IPv4-compatible": "[::7f00:1]",
    "NAT64": "[64:ff9b::a9fe:a9fe]",
    "NAT64 local": "[64:ff9b:1::a9fe:a9fe]",
    "6to4": "[2002:a9fe:a9fe::]",
    "Teredo": "[2001:0:a9fe:a9fe::1]",
    "ISATAP": "[2606:4700::5efe:7f00:1]",
    "private name": "private.example",
    "public and private name": "mixed.example",
}
URLS = {
    **{name: (f"https://{host}:{PORT}/?key=planted", "address") for name, host in HOSTS.items()},
    "port": ("https://public.example:22/", "port"),
    "port of Redis": ("https://public.example:6379/", "port"),
    "denied host": ("https://denied.example/", "host"),
}
ONLY_FETCHED = {
    "http": (f"http://127.0.0.1:{PORT}/", "address"),
    "full-width digits": (f"https://１２７.0.0.1:{PORT}/", "address"),
    "file": ("file:///etc/passwd", "url"),
    "file with a host": ("file://public.example/etc/passwd", "scheme"),
    "gopher": ("gopher://public.example/", "scheme"),
    "ftp": ("ftp://public.example/", "scheme"),
    "data": ("data:text/plain,x", "url"),
    "without a scheme": ("//public.example/", "scheme"),
    "user and password": ("https://user:planted@public.example/", "url"),
    "host in the user": ("https://public.example@10.0.0.7/", "url"),
    "backslash": ("https://public.example\\@10.0.0.7/", "url"),
    "zone": ("https://[fe80::1%25lo]/", "url"),
    "line break": ("https://public.example/\r\nHost: 10.0.0.7", "url"),
}
NAMES: dict[str, list[Sequence[str]]] = {
    "public.example": [[PUBLIC]],
    "private.example": [[PRIVATE]],
    "mixed.example": [[PUBLIC, PRIVATE]],
    "rebound.example": [[PUBLIC], [PRIVATE]],
    "denied.example": [[PUBLIC]],
    "site.example": [["127.0.0.1"]],
    "rebinding-site.example": [["127.0.0.1"], [PRIVATE]],
}
RULES = Rules(ports={"https": frozenset({443, PORT}), "http": frozenset({80, PORT})})
TOOLS = ["web_fetch", "http_tool"]


@dataclass
class Hostile:
    """Calls a tool with a URL. `connected` contains the addresses to which the client opened a connection."""

    tenant_env: TenantEnv
    connected: list[str] = field(default_factory=list)

    def call(self, tool: str, url: str, rules: Rules = RULES, *, timeout: Any = 10) -> ToolAnswer:
        names = Names({host: list(answers) for host, answers in NAMES.items()})

        def resolve(host: str, port: int) -> Sequence[str]:
            return names(host, port) if host in names.script else resolve_name(host, port)

        self.tenant_env.egress = EgressClient(rules, resolve)
        caller = context_of()
        called: Tool[Any] = WEB_FETCH if tool == "web_fetch" else make_tool(self.definition(url, timeout))
        arguments = {"url": url} if tool == "web_fetch" else {}
        services = self.tenant_env.services(caller)
        context = tool_context(self.tenant_env.clock, services=services)
        return GuardedTools(self.tenant_env.guard(caller), [called]).call(called.name, arguments, context)

    def definition(self, url: str, timeout: Any = 10) -> ToolDefinition:
        now, schema = self.tenant_env.clock(), {"type": "object"}
        return ToolDefinition(
            ToolId("tol_1"), "http_tool", "T.", schema, request_to(url), "pure", "read", now, now, timeout
        )

    def events(self, kind: Any) -> list[dict[str, Any]]:
        query = make_query(now=self.tenant_env.clock(), type=kind)
        events = self.tenant_env.guard(context_of()).audit.list(query, PageRequest(100)).items
        return [dict(event.details) for event in events]


@pytest.fixture
def hostile(tenant_env: TenantEnv, monkeypatch: pytest.MonkeyPatch) -> Hostile:
    """Return the caller of tools. Every connection of the HTTP library is recorded; those to this machine are made."""
    found, connect = Hostile(tenant_env), httpcore2.SyncBackend.connect_tcp

    def record(backend: httpcore2.SyncBackend, host: str, port: int, *rest: Any) -> httpcore2.NetworkStream:
        found.connected.append(host)
        if host != "127.0.0.1":
            raise httpcore2.ConnectError
        return connect(backend, host, port, *rest)

    monkeypatch.setattr(httpcore2.SyncBackend, "connect_tcp", record)
    tenant_env.configure(settings='{"outbound": {"deny": ["denied.example"]}}')
    return found


def assert_refused(hostile: Hostile, tool: str, url: str, reason: str) -> None:
    for _ in range(3):
        answer = hostile.call(tool, url)
        assert answer.is_error
        assert answer.defect is None
        assert answer.text.startswith("Not called: ")
        assert PRIVATE not in answer.text.replace(url, "")
    assert hostile.connected == []
    (refusal,) = hostile.events("outbound.refuse")
    assert (refusal["source"], refusal["reason"]) == (f"tool:{tool}", reason)
    assert "planted" not in refusal["url"]
    assert [call["is_error"] for call in hostile.events("tool.call")] == [True] * 3


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize(("url", "reason"), URLS.values(), ids=URLS)
def test_a_hostile_url_is_refused(hostile: Hostile, tool: str, url: str, reason: str) -> None:
    assert_refused(hostile, tool, url, reason)


@pytest.mark.parametrize(("url", "reason"), ONLY_FETCHED.values(), ids=ONLY_FETCHED)
def test_a_url_that_no_definition_can_have_is_refused(hostile: Hostile, url: str, reason: str) -> None:
    with pytest.raises(ValidationFailed):
        check_definition(hostile.definition(url), frozenset())
    for tool in ("http_tool", "web_fetch"):
        answer = hostile.call(tool, url)
        assert answer.is_error
        assert answer.text.startswith("Not called: ")
    assert hostile.connected == []
    refusals = {each["source"]: each for each in hostile.events("outbound.refuse")}
    assert set(refusals) == {"tool:web_fetch", "tool:http_tool"}
    assert refusals["tool:web_fetch"]["reason"] == reason
    assert "planted" not in str(refusals)


@pytest.mark.parametrize("tool", TOOLS)
def test_the_number_of_audited_refusals_is_bounded(hostile: Hostile, tool: str) -> None:
    for number in range(OF_TENANT_MAX + 5):
        assert hostile.call(tool, f"https://10.0.0.{number}:{PORT}/").is_error
    assert len(hostile.events("outbound.refuse")) == OF_TENANT_MAX
    assert hostile.connected == []


@pytest.mark.parametrize("tool", TOOLS)
def test_a_name_that_is_rebound_is_not_resolved_again(hostile: Hostile, tool: str) -> None:
    answer = hostile.call(tool, f"https://rebound.example:{PORT}/")
    assert answer == ToolAnswer("The call failed: the connection failed.", is_error=True)
    assert hostile.connected == [PUBLIC]


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize(
    "location",
    [
        *(f"http://{host}:{PORT}/" for host in HOSTS.values() if not host.startswith(("127", "2130", "0"))),
        "http://public.example:22/", "file:///etc/passwd", "gopher://site.example/", "http://user:planted@site.example/",
        "http://[::bad", "/again",
    ],
)  # fmt: skip
def test_a_redirect_to_a_hostile_url_is_refused(hostile: Hostile, tool: str, location: str) -> None:
    rules = Rules(RULES.ports, LOCAL.local_addresses)
    name = "rebinding-site.example" if location == "/again" else "site.example"
    with Site([say(302, location=location), say(200, b"planted")]).open() as site:
        answer = hostile.call(tool, f"http://{name}:{site.port}/", rules)
    assert answer.is_error
    assert len(site.seen) == len(hostile.connected) == 1
    refusals = hostile.events("outbound.refuse")
    if tool == "http_tool":
        assert answer.text == "The server answered with the status 302. Redirects are not followed."
        assert refusals == []
    else:
        assert answer.text.startswith("Not called: ")
        assert [each["source"] for each in refusals] == ["tool:web_fetch"]


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (say(200, b"x" * (max(web.BYTES_MAX, RESPONSE_BYTES_MAX) + 1), content_type="text/plain"), "longer than"),
        (endless, "longer than"),
        (say(200, b"\x1f\x8b", content_encoding="gzip"), "compressed"),
        (say(200, b"\x7fELF", content_type="application/octet-stream"), "content type"),
        (say(200, b"\x89PNG", content_type="image/png"), "content type"),
        (drip(HEAD + b"content-type: text/plain\r\n\r\n"), "timed out"),
        (drip(HEAD + b"x: "), "timed out"),
    ],
    ids=["huge", "endless", "compressed", "binary", "image", "slow body", "slow header"],
)
def test_a_hostile_response_is_not_read(
    hostile: Hostile, monkeypatch: pytest.MonkeyPatch, tool: str, answer: Answer, text: str
) -> None:
    seconds = 0.3 if text == "timed out" else 10
    monkeypatch.setattr(web, "SECONDS_MAX", seconds)
    with Site([answer]).open() as site:
        found = hostile.call(tool, f"http://site.example:{site.port}/", LOCAL, timeout=seconds)
    assert found.is_error
    assert found.defect is None
    assert text in found.text
    (call,) = hostile.events("tool.call")
    assert (call["tool"], call["is_error"]) == (tool, True)
