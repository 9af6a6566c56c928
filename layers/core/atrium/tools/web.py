"""The tool `web_fetch`, which reads a page of the public web."""

import json
from typing import Annotated

from pydantic import Field

from atrium.egress.exchange import OutboundRequest, OutboundResponse
from atrium.kernel.media_types import read_media_type
from atrium.tools.declaration import tool
from atrium.tools.html import read_html
from atrium.tools.model import ToolContext, ToolRefusal, ToolRetry

BYTES_MAX = 2_000_000
SECONDS_MAX = 20.0
NAME = "web_fetch"
_TEXT_TYPES = frozenset({"application/json", "application/xml", "application/javascript", "application/rss+xml"})
_HTML_TYPES = frozenset({"text/html", "application/xhtml+xml"})


def read_page(answer: OutboundResponse) -> str:
    """Return the text of a response. Raise `ToolRefusal` if its content is not text."""
    content_type = answer.headers.get("content-type", "text/plain")
    kind, charset = read_media_type(content_type)
    if not (kind.startswith("text/") or kind in _TEXT_TYPES | _HTML_TYPES or kind.endswith(("+json", "+xml"))):
        raise ToolRefusal(f"The page is not text: its content type is {json.dumps(kind[:100])}.")
    try:
        text = answer.body.decode(charset or "utf-8", errors="replace")
    except LookupError:  # a charset that Python does not know
        text = answer.body.decode(errors="replace")
    return read_html(text) if kind in _HTML_TYPES else text


def _fetch(
    url: Annotated[str, Field(min_length=1, max_length=2_000, description="An absolute https or http URL.")],
    context: ToolContext,
) -> str:
    request = OutboundRequest(
        "GET", url, {"accept": "text/html, text/*, application/json"}, seconds_max=SECONDS_MAX, bytes_max=BYTES_MAX
    )
    answer = context.send(request, NAME)
    if answer.status >= 400:
        raise ToolRetry(f"The server answered with the status {answer.status}.")
    return f"URL: {answer.url}\n\n{read_page(answer) or '[The page contains no text.]'}"


WEB_FETCH = tool(
    "Fetch a page of the public web by its URL and return its text. Each link is followed by its address.",
    name=NAME,
    category="web",
    effect="pure",
)(_fetch)
