"""The local search server answers as the Brave Search API does."""

import json
import urllib.error
import urllib.request
from typing import Any

import pytest
from atrium.tools.search_provider import PROVIDERS, WebSearch

from infra.local.search_server import PROVIDER, find_pages, running

pytestmark = pytest.mark.loopback


def ask(url: str, token: str = "any") -> tuple[int, Any]:
    request = urllib.request.Request(url, headers={"x-subscription-token": token} if token else {})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_the_product_reads_its_results() -> None:
    with running() as url:
        search = WebSearch(PROVIDERS[PROVIDER], lambda: "any", url)
        request = search.make_request("the capital of Portugal", 2)
        status, body = ask(request.url)
    assert status == 200
    found = search.read_results(json.dumps(body).encode(), 9)
    assert len(found) == 2
    assert (found[0].title, found[0].url) == ("Lisbon", "https://en.wikipedia.org/wiki/Lisbon")


@pytest.mark.parametrize(
    ("path", "token", "status", "code"),
    [
        ("/res/v1/web/search?q=tea", "", 422, "SUBSCRIPTION_TOKEN_INVALID"),
        ("/res/v1/web/search", "any", 422, "VALIDATION"),
        ("/res/v1/web/search?q=tea&count=21", "any", 422, "VALIDATION"),
        (f"/res/v1/web/search?q={'x' * 401}", "any", 422, "VALIDATION"),
        (f"/res/v1/web/search?q={'x+' * 51}", "any", 422, "VALIDATION"),
        ("/res/v1/news/search?q=tea", "any", 404, "NOT_FOUND"),
    ],
)
def test_errors(path: str, token: str, status: int, code: str) -> None:
    with running() as url:
        found, body = ask(url + path, token)
    assert (found, body["type"], body["error"]["code"]) == (status, "ErrorResponse", code)


def test_a_search_without_results_has_no_web_part() -> None:
    assert find_pages("xylophone", 5) == []
    with running() as url:
        status, body = ask(f"{url}/res/v1/web/search?q=xylophone")
    assert (status, body["type"], "web" in body) == (200, "search", False)
