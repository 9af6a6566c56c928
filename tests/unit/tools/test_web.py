"""`web_fetch`: the text of pages, pages that are hostile or not text, and URLs that are refused and audited."""

from collections.abc import Sequence

import pytest
from atrium.audit.query import make_query
from atrium.egress.client import EgressClient
from atrium.kernel.pagination import PageRequest
from atrium.tools.html import read_html
from atrium.tools.model import ToolContext, ToolRefusal, ToolRetry
from atrium.tools.web import BYTES_MAX, WEB_FETCH

from tests.builders.loops import tool_context
from tests.builders.tenant_env import TenantEnv, context_of
from tests.unit.egress.sites import LOCAL, Answer, Names, Site, client_of, say

pytestmark = pytest.mark.loopback

NAMES = Names({"a.example": [["127.0.0.1"]], "inner.example": [["10.0.0.7"]]})

PAGE = b"""<!doctype html><html><head><title>Not shown</title></head><body>
<h1>Prices</h1><p>One <b>kilo</b>gram costs
<a href="/buy?a=1&amp;b=2">5&nbsp;euros</a>.</p><!-- <p>hidden --><script>if (a < b) track()</script>
<ul><li>apples<li>pears</ul></body></html>"""


def context_with(tenant_env: TenantEnv, egress: EgressClient) -> ToolContext:
    tenant_env.egress = egress
    return tool_context(tenant_env.clock, services=tenant_env.services(context_of()))


def fetch(tenant_env: TenantEnv, *answers: Answer, path: str = "/") -> object:
    with Site(list(answers)).open() as site:
        context = context_with(tenant_env, client_of(NAMES, rules=LOCAL))
        return WEB_FETCH.call({"url": f"http://a.example:{site.port}{path}"}, context)


def refusals(tenant_env: TenantEnv) -> list[dict[str, object]]:
    query = make_query(now=tenant_env.clock(), type="outbound.refuse")
    events = tenant_env.guard(context_of()).audit.list(query, PageRequest()).items
    return [dict(event.details) for event in events]


def test_returns_the_text_of_a_page(tenant_env: TenantEnv) -> None:
    found = fetch(tenant_env, say(200, PAGE, content_type="text/html; charset=utf-8"), path="/prices")
    text = "Prices\nOne kilogram costs 5 euros (/buy?a=1&b=2).\napples\npears"
    assert isinstance(found, str)
    assert found.startswith("URL: http://a.example:")
    assert found.endswith(f"/prices\n\n{text}")


@pytest.mark.parametrize(
    ("body", "content_type", "text"),
    [
        (b'{"a": 1}', "application/json", '{"a": 1}'),
        (b"plain", "text/plain", "plain"),
        ("Grüße".encode("latin-1"), "text/plain; charset=ISO-8859-1", "Grüße"),
        ("Grüße".encode(), "text/plain; charset=nonsense", "Grüße"),
        (b"\xff", "text/plain", "\ufffd"),
        (b"<script>only code</script>", "text/html", "[The page contains no text.]"),
    ],
)
def test_reads_other_texts(tenant_env: TenantEnv, body: bytes, content_type: str, text: str) -> None:
    assert str(fetch(tenant_env, say(200, body, content_type=content_type))).endswith(f"\n\n{text}")


def test_refuses_content_that_is_not_text(tenant_env: TenantEnv) -> None:
    with pytest.raises(ToolRefusal, match="image/png"):
        fetch(tenant_env, say(200, b"\x89PNG", content_type="image/png"))


@pytest.mark.parametrize("answer", [say(404), say(200, b"x" * (BYTES_MAX + 1), content_type="text/plain")])
def test_tells_the_model_of_a_failed_call(tenant_env: TenantEnv, answer: Answer) -> None:
    with pytest.raises(ToolRetry, match=r"404|longer than"):
        fetch(tenant_env, answer)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://127.0.0.1/", "address"),
        ("http://2130706433/", "address"),
        ("http://0x7f.1/", "address"),
        ("http://017700000001/", "address"),
        ("http://[::ffff:169.254.169.254]/", "address"),
        ("http://[64:ff9b::a9fe:a9fe]/latest/meta-data?token=planted", "address"),
        ("http://inner.example/", "address"),
        ("http://rebound.example/", "address"),
        ("https://user:planted@a.example/", "url"),
        ("file:///etc/passwd", "url"),
        ("gopher://a.example/", "scheme"),
        ("http://a.example:22/", "port"),
        ("https://denied.example/", "host"),
    ],
)
def test_a_refused_url_is_audited_without_its_secrets(tenant_env: TenantEnv, url: str, reason: str) -> None:
    tenant_env.configure(settings='{"outbound": {"deny": ["denied.example"]}}')
    numeric: dict[str, list[Sequence[str]]] = {
        host: [["127.0.0.1"]] for host in ("127.0.0.1", "2130706433", "0x7f.1", "017700000001")
    }
    names = Names({
        **numeric,
        "::ffff:169.254.169.254": [["::ffff:169.254.169.254"]],
        "::ffff:a9fe:a9fe": [["::ffff:a9fe:a9fe"]],
        "64:ff9b::a9fe:a9fe": [["64:ff9b::a9fe:a9fe"]],
        "inner.example": [["10.0.0.7"]],
        "rebound.example": [["93.184.215.14", "10.0.0.7"]],
        "a.example": [["93.184.215.14"]],
    })  # fmt: skip
    with pytest.raises(ToolRefusal, match="Not called: "):
        WEB_FETCH.call({"url": url}, context_with(tenant_env, EgressClient(resolve=names)))
    (details,) = refusals(tenant_env)
    assert (details["source"], details["reason"]) == ("tool:web_fetch", reason)
    assert "planted" not in str(details)


def test_a_redirect_to_a_private_address_is_refused_and_audited(tenant_env: TenantEnv) -> None:
    with pytest.raises(ToolRefusal):
        fetch(tenant_env, say(302, location="http://inner.example/"))
    assert [each["source"] for each in refusals(tenant_env)] == ["tool:web_fetch"]


def test_needs_the_platform() -> None:
    with pytest.raises(ToolRefusal, match="only for agents that run on the platform"):
        WEB_FETCH.call({"url": "https://a.example/"}, tool_context())


@pytest.mark.parametrize(
    "html",
    ["<div>", "<!--", "<a ", "<!", "<![", "</", "<a b='", "&", "&#", "<script>", "<a href", "<a href='", "<a href=x>"],
)
def test_any_page_is_read_in_linear_time(html: str) -> None:
    read_html(html * (1_000_000 // len(html)))


def test_unclosed_parts_are_not_shown() -> None:
    assert read_html("<p>a</p><script>b<p>c") == "a"
    assert read_html("<p>a</p><!-- b") == "a"
    assert read_html("1 < 2 <p>3</P >4<STYLE>x</STYLE >5") == "1 < 2\n3\n45"
