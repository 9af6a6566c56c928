"""The tool `web_search`, which searches the public web with the provider of the deployment.

The call to the provider and the addresses of the results are subject to the tenant's setting `outbound`. A search is
one call without a retry. What the provider writes about an error is not sent to the model.
"""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from atrium.kernel.errors import Unavailable
from atrium.tools.declaration import tool
from atrium.tools.model import ToolContext, ToolRefusal, ToolRetry

NAME = "web_search"
QUERY_MAX = 400
COUNT_MAX, COUNT_DEFAULT = 10, 5
_KEY = "The search provider rejected the platform's key. An operator must replace it."
_USED_UP = "The platform's quota at the search provider is used up."
_FAILURES: Mapping[int, str] = {
    401: _KEY, 402: _USED_UP, 403: _KEY, 432: _USED_UP, 433: _USED_UP,
    429: "The search provider receives too many requests. Wait a minute before the next search.",
}  # fmt: skip
_PERMANENT = frozenset({401, 402, 403, 432, 433})
_NOT_ACCEPTED = (
    "The search provider did not accept the search (status {}). Use a shorter query. If this fails too, an operator "
    "must check the platform's key."
)
_FAILED = "The search provider failed (status {}). Try again later."


def _search(
    query: Annotated[str, Field(min_length=1, max_length=QUERY_MAX, description="A few words to search for.")],
    context: ToolContext,
    count: Annotated[int, Field(ge=1, le=COUNT_MAX, description="Maximum number of results.")] = COUNT_DEFAULT,
) -> dict[str, Any]:
    services = context.require_services()
    if services.web_search is None:
        raise ToolRefusal("This deployment has no search provider.")
    try:
        request = services.web_search.make_request(query, count)
    except Unavailable as error:
        raise ToolRetry("The key of the search provider cannot be read at the moment. Try again later.") from error
    answer = context.send(request, NAME)
    if answer.status != 200:
        raise (ToolRefusal if answer.status in _PERMANENT else ToolRetry)(_explain(answer.status))
    try:
        found = services.web_search.read_results(answer.body, count)
    except ValueError as error:
        raise ToolRetry("The response of the search provider is not valid.") from error
    permitted = services.outbound.find_permitted(each.url for each in found)
    return {
        "results": [
            {"title": each.title, "url": each.url, "snippet": each.snippet} for each in found if each.url in permitted
        ]
    }


def _explain(status: int) -> str:
    """Return what a status of the provider means. Brave also sends 422 for a key that is not valid."""
    other = _NOT_ACCEPTED if 400 <= status < 500 else _FAILED
    return _FAILURES.get(status, other.format(status))


WEB_SEARCH = tool(
    "Search the public web. Returns titles, addresses and snippets of pages. Read a page with web_fetch.",
    name=NAME,
    category="web",
    effect="pure",
    calls_per_minute=30,
)(_search)
