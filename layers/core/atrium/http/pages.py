"""Lists over HTTP: a query becomes a `PageRequest`, a `Page` becomes `{"data": [...], "next_cursor": …}`."""

from atrium.http.dependencies import PageQuery
from atrium.http.models import ListOf
from atrium.kernel.pagination import CursorSigner, Page, PageRequest
from atrium.tenants.context import TenantContext


def list_scope(context: TenantContext, name: str, /, **filters: str | None) -> str:
    """Name a list as one caller sees it: tenant, whose items, filters. A cursor is good for that list alone.

    Callers who see all items of the tenant share a view; anyone else has their own.
    """
    view = "*" if context.principal.sees_all else context.owner
    parts = [f"{key}={value}" for key, value in sorted(filters.items()) if value is not None]
    return "\n".join([context.tenant_id, name, view, *parts])


def page_request(page: PageQuery, cursors: CursorSigner, *, scope: str) -> PageRequest:
    """Open the cursor; `InvalidCursor` unless the list named by `scope` gave it out."""
    return PageRequest(limit=page.limit, position=cursors.open(page.cursor, scope=scope))


def render_page[Item](page: Page[Item], cursors: CursorSigner, *, scope: str) -> ListOf[Item]:
    """Return the answer of a list; map the page to answers' models first (`Page.map`)."""
    return ListOf(data=page.items, next_cursor=cursors.sign(page.position, scope=scope))
