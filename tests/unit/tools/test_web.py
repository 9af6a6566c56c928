"""`web_fetch`: the text of pages, and pages that are hostile or not text."""

import pytest
from atrium.egress.client import EgressClient
from atrium.egress.exchange import OutboundResponse
from atrium.tools.html import read_html
from atrium.tools.model import ToolContext, ToolRefusal, ToolRetry
from atrium.tools.web import BYTES_MAX, WEB_FETCH, read_page

from tests.builders.loops import tool_context
from tests.builders.tenant_env import TenantEnv, context_of
from tests.unit.egress.sites import LOCAL, Answer, Names, Site, client_of, say

pytestmark = pytest.mark.loopback

NAMES = Names({"a.example": [["127.0.0.1"]]})

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


def test_needs_the_platform() -> None:
    with pytest.raises(ToolRefusal, match="only for agents that run on the platform"):
        WEB_FETCH.call({"url": "https://a.example/"}, tool_context())


@pytest.mark.parametrize(
    "html",
    ["<div>", "<!--", "<a ", "<!", "<![", "</", "<a b='", "&", "&#", "<script>", "<a href", "<a href='", "<a href=x>"],
)
def test_any_page_is_read_in_linear_time(html: str) -> None:
    read_html(html * (1_000_000 // len(html)))


@pytest.mark.parametrize("html", ["<" + "a" * 1_000_000, "<" + "a" * 500_000 + " b" * 250_000, "<!" + "a" * 1_000_000])
def test_one_long_tag_is_read_in_linear_time(html: str) -> None:
    read_html(html)


def test_a_character_reference_with_many_digits_is_no_character() -> None:
    assert read_html(f"a&#{'9' * 5_000};b") == "a\ufffdb"


@pytest.mark.parametrize("charset", ["punycode", "idna", "undefined", "hex", "unicode_escape", "x-unknown"])
def test_other_charsets_are_read_as_utf_8(charset: str) -> None:
    answer = OutboundResponse(
        200, {"content-type": f"text/plain; charset={charset}"}, "Grüße".encode(), "https://a.example/"
    )
    assert read_page(answer) == "Grüße"


def test_unclosed_parts_are_not_shown() -> None:
    assert read_html("<p>a</p><script>b<p>c") == "a"
    assert read_html("<p>a</p><!-- b") == "a"
    assert read_html("1 < 2 <p>3</P >4<STYLE>x</STYLE >5") == "1 < 2\n3\n45"
