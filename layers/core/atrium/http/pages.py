"""Converts list queries to page requests, and pages to responses such as `{"data": [...], "next_cursor": …}`."""

from atrium.http.dependencies import PageQuery
from atrium.http.models import ListOf
from atrium.kernel.pagination import CursorSigner, Page, PageRequest
from atrium.tenants.context import TenantContext


def list_scope(context: TenantContext, name: str, /, **filters: str | None) -> str:
    """Return the scope of a list's cursors, which consists of the tenant, the list, the visible items and the filters.

    A cursor is valid only for its scope. Callers who can see all items of the tenant have the same scope. Every other
    caller has a separate scope.
    """
    view = "*" if context.principal.sees_all else context.owner
    parts = [f"{key}={value}" for key, value in sorted(filters.items()) if value is not None]
    return "\n".join([context.tenant_id, name, view, *parts])


def page_request(page: PageQuery, cursors: CursorSigner, *, scope: str) -> PageRequest:
    """Return the page request with the decoded cursor. Raise `InvalidCursor` if the cursor has a different scope."""
    return PageRequest(limit=page.limit, position=cursors.open(page.cursor, scope=scope))


def render_page[Item](page: Page[Item], cursors: CursorSigner, *, scope: str) -> ListOf[Item]:
    """Return the response for one page of a list. The items of the page must already be response models."""
    return ListOf(data=page.items, next_cursor=cursors.sign(page.position, scope=scope))
