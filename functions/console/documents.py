"""The way in (`/`) and the API's documentation (`/docs`: Swagger UI, vendored), with the files that they load."""

from html import escape

from atrium.http.dependencies import BaseUrlDep, RuntimeDep
from atrium.kernel.errors import NotFound
from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, Response

from functions.console.assets import asset_path, read_asset
from functions.console.layout import render_page

# Swagger UI writes style attributes and shows icons from data URLs; its requests go to this very origin.
_DOCS_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_FOREVER = {"Cache-Control": "public, max-age=31536000, immutable"}

router = APIRouter(include_in_schema=False)


@router.get("/")
async def show_start(request: Request, base: BaseUrlDep, runtime: RuntimeDep) -> HTMLResponse:
    """Show what this is and where to go on."""
    address = base if "://" in base else f"{request.url.scheme}://{request.headers.get('host', '')}{base}"
    content = f"""
<h1>Agents for your customers, over HTTPS</h1>
<p class="lead">This is an Atrium deployment: chat, streaming, sessions and tools for many tenants, with keys,
limits and a bill for each of them.</p>
<ul class="cards">
{_card(base, "/docs", "API documentation", "Every route, with its bodies and its refusals. Try them from the page.")}
{_card(base, "/v1/openapi.json", "OpenAPI document", "The contract as OpenAPI 3.1, for clients and generators.")}
{_card(base, "/docs/errors", "Error codes", "What each code means, and what to do about it.")}
{_card(base, "/v1/health/ready", "Health", "Whether the components of this deployment answer.")}
</ul>
<h2>Ask an agent</h2>
<p>With an API key of your tenant:</p>
<pre tabindex="0" aria-label="Example"><code>curl {escape(address)}/v1/chat \\
  -H "Authorization: Bearer $ATRIUM_API_KEY" \\
  -H "Content-Type: application/json" \\
  -d '{{"message": "What is 17 * 23?"}}'</code></pre>
<p class="version">Version {escape(runtime.settings.version)}</p>
"""
    return render_page(base, title="Start", content=content, here="/")


@router.get("/docs")
async def show_documentation(base: BaseUrlDep) -> HTMLResponse:
    """Show the contract in Swagger UI."""
    document = escape(f"{base}/v1/openapi.json")
    content = f"""
<h1 class="quiet">API documentation</h1>
<link rel="stylesheet" href="{escape(base + asset_path("swagger-ui.css"))}">
<noscript><p>This page needs JavaScript; the contract itself is <a href="{document}">a document</a>.</p></noscript>
<div id="docs" data-document="{document}"></div>
<script src="{escape(base + asset_path("swagger-ui-bundle.js"))}"></script>
<script src="{escape(base + asset_path("docs.js"))}"></script>
"""
    return render_page(base, title="API", content=content, here="/docs", policy=_DOCS_POLICY)


@router.get("/docs/assets/{digest}/{name}")
async def read_file(digest: str, name: str) -> Response:
    """Return a file of these pages."""
    asset = read_asset(name)
    if asset is None or asset.digest != digest:
        raise NotFound
    return Response(asset.content, media_type=asset.media_type, headers=_FOREVER)


def _card(base: str, path: str, title: str, text: str) -> str:
    return f'<li><a href="{escape(base + path)}"><strong>{escape(title)}</strong><span>{escape(text)}</span></a></li>'
