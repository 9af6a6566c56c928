"""The conversion of HTML to text.

It takes linear time for any input and does not recurse. An HTML parser does not guarantee this. Pages are untrusted
input, and a slow conversion would block the process that serves the turn.
"""

import re
from collections.abc import Iterator
from html import unescape

_TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9]*+)([^<>]*+)>|<(!--)|<[!?][^<>]*+>")
_LONG_NUMBER = re.compile(r"&#[0-9]{8,}+;?")  # no character has such a number, and `int` rejects 4,300 digits
_LINK = re.compile(r"""\bhref\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))""", re.IGNORECASE)
_SKIPPED = frozenset({"script", "style", "noscript", "template", "svg", "head", "textarea"})
_INLINE = frozenset({
    "a", "abbr", "b", "bdi", "cite", "code", "data", "em", "font", "i", "kbd", "label", "mark", "q", "s", "small",
    "span", "strong", "sub", "sup", "time", "u", "var", "wbr",
})  # fmt: skip


def read_html(html: str) -> str:
    """Return the visible text of a page: one line for each block, and each link with its address in parentheses."""
    text = unescape(_LONG_NUMBER.sub("\ufffd", "".join(_pieces(html))))
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
