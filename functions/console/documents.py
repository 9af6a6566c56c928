"""Serves the start page (`/`), the API documentation (`/docs`, vendored Swagger UI) and the static files of pages."""

from html import escape

from atrium.http.dependencies import BaseUrlDep, RuntimeDep
from atrium.kernel.errors import NotFound
from atrium.kernel.media_types import read_quality
from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from functions.console.assets import asset_path, read_asset
from functions.console.layout import render_page

# Swagger UI writes style attributes and shows icons from data URLs. It sends requests only to this origin.
_DOCS_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_FOREVER = {"Cache-Control": "public, max-age=31536000, immutable"}

_VARY = {"Vary": "Accept"}
# Path, name in JSON, and title and text of the card.
_LINKS = (
    (
        "/docs",
        "documentation",
        "API documentation",
        "All routes with their parameters, bodies and errors. You can try them here.",
    ),
    ("/v1/openapi.json", "openapi", "OpenAPI document", "The API as OpenAPI 3.1, for clients and generators."),
    ("/docs/errors", "errors", "Error codes", "The cause of each error, its remedy and an example."),
    ("/v1/health/ready", "health", "Health", "The status of the components of this deployment."),
)

router = APIRouter(include_in_schema=False)


@router.get("/")
async def show_start(request: Request, base: BaseUrlDep, runtime: RuntimeDep) -> Response:
    """Return the start page, or its links as JSON if `Accept` prefers JSON."""
    accept = ",".join(request.headers.getlist("accept"))
    if read_quality(accept, "application/json") > read_quality(accept, "text/html"):
        links = {name: f"{base}{path}" for path, name, _, _ in _LINKS}
        return JSONResponse({"name": "Atrium", "version": runtime.settings.version, "links": links}, headers=_VARY)
    cards = "\n".join(_card(base, path, title, text) for path, _, title, text in _LINKS)
    address = base if "://" in base else f"{request.url.scheme}://{request.headers.get('host', '')}{base}"
    content = f"""
<h1>Agents for your customers, over HTTPS</h1>
<p class="lead">This is an Atrium deployment. It provides chat, streaming, sessions and tools for many tenants. Each
tenant has API keys, limits and usage figures.</p>
<ul class="cards">
{cards}
</ul>
<h2>Ask an agent</h2>
<p>With an API key of your tenant:</p>
<pre tabindex="0" aria-label="Example"><code>curl {escape(address)}/v1/chat \\
  -H "Authorization: Bearer $ATRIUM_API_KEY" \\
  -H "Content-Type: application/json" \\
  -d '{{"message": "What is 17 * 23?"}}'</code></pre>
<p>The guides (login, limits, OAuth, models, deployment) are in the folder <code>infra/docs</code> of the
repository.</p>
<p class="version">Version {escape(runtime.settings.version)}</p>
"""
    page = render_page(base, title="Start", content=content, here="/")
    page.headers.update(_VARY)
    return page


@router.get("/docs")
async def show_documentation(base: BaseUrlDep) -> HTMLResponse:
    """Return the page that shows the OpenAPI document in Swagger UI."""
    document = escape(f"{base}/v1/openapi.json")
    content = f"""
<h1 class="quiet">API documentation</h1>
<link rel="stylesheet" href="{escape(base + asset_path("swagger-ui.css"))}">
<noscript><p>This page needs JavaScript. You can also read the <a href="{document}">OpenAPI document</a>.</p></noscript>
<div id="docs" data-document="{document}"></div>
<script src="{escape(base + asset_path("swagger-ui-bundle.js"))}"></script>
<script src="{escape(base + asset_path("docs.js"))}"></script>
"""
    return render_page(base, title="API", content=content, here="/docs", policy=_DOCS_POLICY)


@router.get("/docs/assets/{digest}/{name}")
async def read_file(digest: str, name: str) -> Response:
    """Return a static file of the pages."""
    asset = read_asset(name)
    if asset is None or asset.digest != digest:
        raise NotFound
    return Response(asset.content, media_type=asset.media_type, headers=_FOREVER)


def _card(base: str, path: str, title: str, text: str) -> str:
    return f'<li><a href="{escape(base + path)}"><strong>{escape(title)}</strong><span>{escape(text)}</span></a></li>'
