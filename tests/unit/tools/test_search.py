"""`web_search`: the wires of the providers, hidden results, and providers that fail or send anything."""

import json
from typing import Any

import pytest
from atrium.kernel.errors import Unavailable
from atrium.settings import WEB_SEARCH_PROVIDERS, Settings, SettingsInvalid
from atrium.tools.knowledge import KNOWLEDGE_SEARCH
from atrium.tools.model import ToolContext, ToolRefusal, ToolRetry
from atrium.tools.output import RESULT_CHARACTERS_MAX, read_output
from atrium.tools.registry import BUILT_IN
from atrium.tools.search import COUNT_MAX, WEB_SEARCH
from atrium.tools.search_provider import BYTES_MAX, PROVIDERS, WebSearch

from tests.builders.loops import tool_context
from tests.builders.runtimes import build_runtime
from tests.builders.tenant_env import TenantEnv, context_of
from tests.unit.egress.sites import LOCAL, Answer, Names, Site, client_of, say

pytestmark = pytest.mark.loopback

NAMES = Names({"a.example": [["127.0.0.1"]]})
TEA = {
    "url": "https://tea.example/green?a=1&b=2",
    "title": "Green &amp; black",
    "description": "<strong>Tea</strong> shop",
}
SHOWN = {"title": "Green & black", "url": TEA["url"], "snippet": "Tea shop"}


def brave(*results: object) -> bytes:
    return json.dumps({"type": "search", "query": {}, "web": {"type": "search", "results": results}}).encode()


def tavily(*results: object) -> bytes:
    return json.dumps({"query": "tea", "results": results, "response_time": 1.1}).encode()


def result(url: str) -> dict[str, str]:
    return {"title": "A page", "url": url, "description": "Text"}


def context_with(tenant_env: TenantEnv, name: str = "brave", port: int = 1, key: str = "planted-key") -> ToolContext:
    tenant_env.egress = client_of(NAMES, rules=LOCAL)
    tenant_env.web_search = WebSearch(PROVIDERS[name], lambda: key, f"http://a.example:{port}")
    return tool_context(tenant_env.clock, services=tenant_env.services(context_of()))


def search(tenant_env: TenantEnv, answer: Answer, name: str = "brave", **arguments: Any) -> tuple[Any, list[bytes]]:
    """Return the result of a search, and the requests that the provider received."""
    with Site([answer, answer]).open() as site:
        found = WEB_SEARCH.call({"query": "green tea", **arguments}, context_with(tenant_env, name, site.port))
    return found, site.seen


def test_searches_with_brave(tenant_env: TenantEnv) -> None:
    found, (request,) = search(tenant_env, say(200, brave(TEA)), count=3)
    assert found == {"results": [SHOWN]}
    line, _, headers = request.partition(b"\r\n")
    path = b"/res/v1/web/search?q=green+tea&count=3&result_filter=web&text_decorations=false"
    assert line == b"GET " + path + b" HTTP/1.1"
    assert b"x-subscription-token: planted-key\r\n" in headers


def test_searches_with_tavily(tenant_env: TenantEnv) -> None:
    answer = tavily({"url": TEA["url"], "title": "Green & black", "content": "Tea\nshop", "score": 0.9})
    found, (request,) = search(tenant_env, say(200, answer), "tavily")
    assert found == {"results": [SHOWN]}
    head, _, body = request.partition(b"\r\n\r\n")
    assert head.startswith(b"POST /search HTTP/1.1\r\n")
    assert b"authorization: Bearer planted-key\r\n" in head
    assert json.loads(body) == {"query": "green tea", "max_results": 5, "search_depth": "basic"}


@pytest.mark.parametrize(("name", "body"), [("brave", b'{"type": "search"}'), ("brave", brave()), ("tavily", tavily())])
def test_returns_no_results(tenant_env: TenantEnv, name: str, body: bytes) -> None:
    assert search(tenant_env, say(200, body), name)[0] == {"results": []}


def test_hides_results_that_the_tenant_must_not_call(tenant_env: TenantEnv) -> None:
    tenant_env.configure(settings='{"outbound": {"deny": ["ads.example", "*.ads.example"]}}')
    hidden = (
        "https://ads.example/",
        "http://x.ads.example/tea",
        "javascript:alert(1)",
        "https://u:p@b.example/",
        "tea",
    )
    answer = say(200, brave(*map(result, [*hidden, "https://notads.example/"])))
    assert [each["url"] for each in search(tenant_env, answer, count=9)[0]["results"]] == ["https://notads.example/"]


def test_does_not_call_a_provider_that_the_tenant_denies(tenant_env: TenantEnv) -> None:
    tenant_env.configure(settings='{"outbound": {"allow": ["b.example"]}}')
    with pytest.raises(ToolRefusal, match="Not called: the tenant's setting `outbound` does not allow this host"):
        WEB_SEARCH.call({"query": "tea"}, context_with(tenant_env))


def test_a_result_is_bounded_and_visible_text(tenant_env: TenantEnv) -> None:
    long = {
        "url": "https://b.example/" + "x" * 1_900,
        "title": "t" * 9_000,
        "description": "\u0000\u202e" + "s" * 9_000,
    }
    found, _ = search(tenant_env, say(200, brave(*[long] * 20)), count=COUNT_MAX)
    assert len(found["results"]) == COUNT_MAX
    assert found["results"][0]["snippet"] == "s" * 1_000
    text = read_output(found)
    assert isinstance(text, str)
    assert len(text) < RESULT_CHARACTERS_MAX
    assert len(json.loads(text)["results"]) == COUNT_MAX


@pytest.mark.parametrize(
    "body",
    [
        b"", b"<html>", b"\xff", b"[]", b"null", b"[" * 100_000, b"{}", b'{"web": 1}', b'{"type": "ErrorResponse"}',
        brave("text"), brave({"title": "no url"}), brave({"url": 1}), brave({"url": "https://b.example/", "title": []}),
        b'{"type": "search", "web": {"results": {}}}', b"x" * (BYTES_MAX + 1),
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", PROVIDERS)
def test_a_response_that_is_not_valid_is_an_error(tenant_env: TenantEnv, name: str, body: bytes) -> None:
    with pytest.raises(ToolRetry, match=r"The response of the search provider is not valid|longer than"):
        search(tenant_env, say(200, body), name)


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (401, "rejected the platform's key"), (403, "rejected the platform's key"), (402, "quota"), (432, "quota"),
        (429, "too many requests"), (422, r"did not accept the search \(status 422\)"), (302, r"failed \(status 302\)"),
        (500, r"failed \(status 500\)"), (204, r"failed \(status 204\)"),
    ],
)  # fmt: skip
def test_a_failure_is_one_call_and_its_text_is_not_shown(tenant_env: TenantEnv, status: int, text: str) -> None:
    answer = say(status, b"planted-key echoed", location="http://a.example/elsewhere")
    with Site([answer, answer]).open() as site:
        context = context_with(tenant_env, port=site.port)
        with pytest.raises((ToolRetry, ToolRefusal), match=text) as failure:
            WEB_SEARCH.call({"query": "tea"}, context)
    assert len(site.seen) == 1
    assert "planted" not in str(failure.value)


def test_a_provider_without_an_answer_is_an_error(tenant_env: TenantEnv) -> None:
    with pytest.raises(ToolRetry, match="The call failed: "):
        search(tenant_env, lambda line, _: line.close())


def test_without_a_key_the_model_is_told(tenant_env: TenantEnv) -> None:
    def no_key() -> str:
        raise Unavailable(internal="the search secret has no value")

    context_with(tenant_env)
    tenant_env.web_search = WebSearch(PROVIDERS["brave"], no_key)
    context = tool_context(tenant_env.clock, services=tenant_env.services(context_of()))
    with pytest.raises(ToolRetry, match="cannot be read at the moment"):
        WEB_SEARCH.call({"query": "tea"}, context)


def test_without_a_provider_the_call_is_refused(tenant_env: TenantEnv) -> None:
    with pytest.raises(ToolRefusal, match="no search provider"):
        WEB_SEARCH.call({"query": "tea"}, tool_context(services=tenant_env.services(context_of())))


def test_the_settings_select_the_provider() -> None:
    assert set(PROVIDERS) == set(WEB_SEARCH_PROVIDERS) - {"none"}
    for name in PROVIDERS:
        runtime = build_runtime({"WEB_SEARCH_PROVIDER": name, "WEB_SEARCH_URL": "http://127.0.0.1:1"})()
        assert runtime.web_search is not None
        assert (runtime.web_search.provider, runtime.web_search.base_url) == (PROVIDERS[name], "")
        assert set(BUILT_IN) - set(runtime.tools) == {KNOWLEDGE_SEARCH}
    assert WEB_SEARCH not in build_runtime()().tools
    with pytest.raises(SettingsInvalid, match="WEB_SEARCH_PROVIDER must be one of none, brave, tavily"):
        Settings.read({"WEB_SEARCH_PROVIDER": "google"})
