"""The providers of web search: the request of a search, and the results in the response.

    brave    GET   /res/v1/web/search?q=…&count=…    {"type": "search", "web": {"results": [{"title", "url", …}]}}
    tavily   POST  /search {"query", "max_results"}  {"results": [{"title", "url", "content"}]}

A response is untrusted: it is validated, and its texts are reduced to one line of visible characters. To add a
provider, add its wire to `PROVIDERS` and its name to `settings.WebSearchProvider`.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlencode

from pydantic import AliasChoices, BaseModel, Field

from atrium.egress.exchange import OutboundRequest
from atrium.kernel.texts import clean
from atrium.tools.html import read_html

SECONDS_MAX = 10.0
BYTES_MAX = 1_000_000
TITLE_MAX, SNIPPET_MAX = 200, 1_000


class _Result(BaseModel):
    url: str
    title: str | None = None
    snippet: str | None = Field(None, validation_alias=AliasChoices("description", "content"))


class _BraveWeb(BaseModel):
    results: list[_Result]


class _BraveAnswer(BaseModel):
    """A response without results does not contain `web`."""

    type: Literal["search"]
    web: _BraveWeb | None = None

    @property
    def found(self) -> list[_Result]:
        return self.web.results if self.web else []


class _TavilyAnswer(BaseModel):
    results: list[_Result]

    @property
    def found(self) -> list[_Result]:
        return self.results


@dataclass(frozen=True, slots=True)
class SearchProvider:
    """The wire of a provider. A GET has its fields in the query, a POST in a JSON body. `constants` are always sent."""

    base_url: str
    method: Literal["GET", "POST"]
    path: str
    key_header: str
    key_prefix: str
    query_field: str
    count_field: str
    constants: Mapping[str, str]
    answer: type[_BraveAnswer | _TavilyAnswer]


PROVIDERS: Mapping[str, SearchProvider] = {
    "brave": SearchProvider(
        "https://api.search.brave.com", "GET", "/res/v1/web/search", "x-subscription-token", "", "q", "count",
        {"result_filter": "web", "text_decorations": "false"}, _BraveAnswer,
    ),
    "tavily": SearchProvider(
        "https://api.tavily.com", "POST", "/search", "authorization", "Bearer ", "query", "max_results",
        {"search_depth": "basic"}, _TavilyAnswer,
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class SearchResult:
    """One result. `url` is as the provider sent it."""

    title: str
    url: str
    snippet: str


@dataclass(frozen=True, slots=True)
class WebSearch:
    """The provider that a deployment uses. `key` reads its key. `base_url` replaces the provider's own server."""

    provider: SearchProvider
    key: Callable[[], str] = field(repr=False)
    base_url: str = ""

    def make_request(self, query: str, count: int) -> OutboundRequest:
        """Return the request of a search. Raise `Unavailable` if the key cannot be read."""
        wire = self.provider
        url = (self.base_url or wire.base_url) + wire.path
        fields = {wire.query_field: query, wire.count_field: count, **wire.constants}
        headers = {"accept": "application/json", wire.key_header: wire.key_prefix + self.key()}
        body = b""
        if wire.method == "GET":
            url = f"{url}?{urlencode(fields)}"
        else:
            headers["content-type"], body = "application/json", json.dumps(fields).encode()
        return OutboundRequest(
            wire.method, url, headers, body, seconds_max=SECONDS_MAX, bytes_max=BYTES_MAX, redirects_max=0
        )

    def read_results(self, body: bytes, count: int) -> list[SearchResult]:
        """Return the first results in the body of a response. Raise `ValueError` if the body is not valid."""
        found = self.provider.answer.model_validate_json(body).found[:count]
        return [
            SearchResult(_line(each.title, TITLE_MAX), each.url, _line(each.snippet, SNIPPET_MAX)) for each in found
        ]


def _line(html: str | None, characters_max: int) -> str:
    """Return a title or snippet as one line. Providers mark words with tags, and encode characters as in HTML."""
    return clean(read_html(html or ""), characters_max)
