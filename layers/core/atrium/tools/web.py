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
# Other codecs of Python can need quadratic time (`punycode`) or fail (`idna`).
_CHARSETS = frozenset({
    "utf-8", "us-ascii", "iso-8859-1", "iso-8859-2", "iso-8859-15", "windows-1250", "windows-1251", "windows-1252",
    "utf-16", "koi8-r", "shift_jis", "euc-jp", "euc-kr", "big5", "gb2312", "gbk", "gb18030",
})  # fmt: skip
_HTML_TYPES = frozenset({"text/html", "application/xhtml+xml"})


def read_page(answer: OutboundResponse) -> str:
    """Return the text of a response. Raise `ToolRefusal` if its content is not text."""
    content_type = answer.headers.get("content-type", "text/plain")
    kind, charset = read_media_type(content_type)
    if not (kind.startswith("text/") or kind in _TEXT_TYPES | _HTML_TYPES or kind.endswith(("+json", "+xml"))):
        raise ToolRefusal(f"The page is not text: its content type is {json.dumps(kind[:100])}.")
    text = answer.body.decode(charset if charset in _CHARSETS else "utf-8", errors="replace")
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
