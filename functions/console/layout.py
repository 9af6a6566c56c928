"""The HTML layout of all pages. The layout works without scripts and supports light and dark mode."""

from collections.abc import Iterable
from html import escape

from starlette.responses import HTMLResponse

from functions.console.assets import asset_path

_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_LINKS = (("/", "Start"), ("/docs", "API"), ("/docs/errors", "Error codes"), ("/v1/health/ready", "Health"))


def render_page(base: str, *, title: str, content: str, here: str = "", policy: str = _POLICY) -> HTMLResponse:
    """Return a page. `content` is HTML and is not escaped. `title` is text. `base` is the prefix of all links."""
    html = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)} · Atrium</title>
<link rel="icon" href="{escape(base + asset_path("mark.svg"))}" type="image/svg+xml">
<link rel="stylesheet" href="{escape(base + asset_path("atrium.css"))}">
</head>
<body>
<a class="skip" href="#content">Skip to content</a>
<header>
<a class="brand" href="{escape(base)}/">Atrium</a>
<nav aria-label="Main"><ul>{"".join(_link(base, path, name, here) for path, name in _LINKS)}</ul></nav>
</header>
<main id="content">
{content}
</main>
</body>
</html>
"""
    headers = {"Content-Security-Policy": policy, "Referrer-Policy": "no-referrer"}
    return HTMLResponse(html, headers=headers)


def definition_list(pairs: Iterable[tuple[str, str]]) -> str:
    """Return an HTML definition list. Terms and texts are escaped."""
    return "<dl>" + "".join(f"<dt>{escape(term)}</dt><dd>{escape(text)}</dd>" for term, text in pairs) + "</dl>"


def _link(base: str, path: str, name: str, here: str) -> str:
    current = ' aria-current="page"' if path == here else ""
    return f'<li><a href="{escape(base + path)}"{current}>{escape(name)}</a></li>'
