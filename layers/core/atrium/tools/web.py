"""The tool `web_fetch`, which reads a page of the public web, and the conversion of HTML to text.

The conversion takes linear time for any input and does not recurse. Parsers do not guarantee this: the pages come from
anyone, and the work is done in the process that serves the turn.
"""

import json
import re
from collections.abc import Iterator
from html import unescape
from typing import Annotated

from pydantic import Field

from atrium.egress.exchange import OutboundRequest, OutboundResponse
from atrium.kernel.media_types import read_media_type
from atrium.tools.declaration import tool
from atrium.tools.model import ToolContext, ToolRefusal, ToolRetry

BYTES_MAX = 2_000_000
SECONDS_MAX = 20.0
NAME = "web_fetch"
_TEXT_TYPES = frozenset({"application/json", "application/xml", "application/javascript", "application/rss+xml"})
_HTML_TYPES = frozenset({"text/html", "application/xhtml+xml"})
_TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9]*)([^<>]*)>|<(!--)|<[!?][^<>]*>")
_LINK = re.compile(r"""\bhref\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))""", re.IGNORECASE)
_SKIPPED = frozenset({"script", "style", "noscript", "template", "svg", "head", "textarea"})
_INLINE = frozenset({
    "a", "abbr", "b", "bdi", "cite", "code", "data", "em", "font", "i", "kbd", "label", "mark", "q", "s", "small",
    "span", "strong", "sub", "sup", "time", "u", "var", "wbr",
})  # fmt: skip


def read_html(html: str) -> str:
    """Return the visible text of a page: one line for each block, and each link with its address in parentheses."""
    text = unescape("".join(_pieces(html)))
    lines = (" ".join(line.split()) for line in text.split("\n"))
    return "\n".join(line for line in lines if line)


def _pieces(html: str) -> Iterator[str]:
    """Yield the texts between the tags, line ends for tags of blocks, and the addresses of links after the links."""
    at, link = 0, ""
    while found := _TAG.search(html, at):
        yield html[at : found.start()].replace("\n", " ")
        at = found.end()
        closing, name, attributes, comment = found[1], (found[2] or "").lower(), found[3], found[4]
        if comment:
            at = _after("-->", html, at)
        elif name in _SKIPPED and not closing:
            at = _after(">", html, _after(f"</{name}", html, at))
        elif name == "a":
            yield f" ({link})" if closing and link else ""
            address = None if closing else _LINK.search(attributes)
            link = next(filter(None, address.groups()), "") if address else ""
        elif name and name not in _INLINE:
            yield "\n"
    yield html[at:].replace("\n", " ")


def _after(end: str, html: str, at: int) -> int:
    """Return the position after the end of a skipped part, or the end of the page if the part has no end."""
    found = re.compile(re.escape(end), re.IGNORECASE).search(html, at)
    return found.end() if found else len(html)


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
