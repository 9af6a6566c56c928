"""Lists over HTTP: converts a query to a `PageRequest`, and a `Page` to `{"data": [...], "next_cursor": …}`."""

from atrium.http.dependencies import PageQuery
from atrium.http.models import ListOf
from atrium.kernel.pagination import CursorSigner, Page, PageRequest
from atrium.tenants.context import TenantContext


def list_scope(context: TenantContext, name: str, /, **filters: str | None) -> str:
    """Return the scope of a list's cursors: tenant, list, visible items and filters.

    A cursor is valid only for its scope. Callers who can see all items of the tenant have the same scope; each other
    caller has a separate scope.
    """
    view = "*" if context.principal.sees_all else context.owner
    parts = [f"{key}={value}" for key, value in sorted(filters.items()) if value is not None]
    return "\n".join([context.tenant_id, name, view, *parts])


def page_request(page: PageQuery, cursors: CursorSigner, *, scope: str) -> PageRequest:
    """Return the page request with the decoded cursor. Raise `InvalidCursor` if the cursor has a different scope."""
    return PageRequest(limit=page.limit, position=cursors.open(page.cursor, scope=scope))


def render_page[Item](page: Page[Item], cursors: CursorSigner, *, scope: str) -> ListOf[Item]:
    """Return the response of a list. Map the page to response models before the call (`Page.map`)."""
    return ListOf(data=page.items, next_cursor=cursors.sign(page.position, scope=scope))
