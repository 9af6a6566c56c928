"""Generates infra/docs/permissions.md: roles and scopes from `identity.scopes`, routes from the OpenAPI document."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from atrium.identity.scopes import KEY_SCOPES_DEFAULT, PLATFORM, ROLE_SCOPES, SCOPES
from atrium.tenants.context import Principal, Role

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = ROOT / "functions" / "console" / "openapi.json"
ROUTES = ROOT / "functions" / "admin" / "routes.txt"
PAGE = ROOT / "infra" / "docs" / "permissions.md"

_ROLES: tuple[Role, ...] = ("viewer", "user", "admin")
_YES, _NO = "yes", "–"
_OF_NEW_KEYS = ", ".join(f"`{scope}`" for scope in KEY_SCOPES_DEFAULT)
_HEAD = f"""# Who may do what

Written by `make openapi` from the one table of roles and scopes (`atrium/identity/scopes.py`) and from what each route
asks of its caller. Do not edit it: `make check` compares.

A user has a role; keys and clients have scopes, at most those of who made them. A key made without `scopes` has
{_OF_NEW_KEYS}. `admin` includes all of a tenant's scopes, `platform` (the
operator's keys) all there are. A scope says what is possible; the tenant's [policies](policies-and-audit.md) may take
away from it. Whose sessions and runs one sees is another matter: one's own, or with `admin` the tenant's.
"""


def render_permissions(document: dict[str, Any]) -> str:
    """Render the page for a merged OpenAPI document."""
    return "\n".join([_HEAD, *_table("Scope", [f"`{scope}`" for scope in SCOPES], SCOPES), *_routes(document)]) + "\n"


def render_routes(document: dict[str, Any]) -> str:
    """Return the routes that policies can be about, one a line: those with a guard."""
    guarded = [
        f"{method.upper()} {path}\n"
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if "x-required-scope" in operation
    ]
    return "".join(sorted(guarded))


def check_permissions(document: Path = DOCUMENT, page: Path = PAGE) -> Iterator[str]:
    """Compare the committed page with the committed document."""
    wanted = render_permissions(json.loads(document.read_text(encoding="utf-8")))
    if not page.exists() or page.read_text(encoding="utf-8") != wanted:
        yield f"{page.name} is stale; run `make openapi` and commit it"


def _routes(document: dict[str, Any]) -> Iterator[str]:
    by_area: dict[str, list[tuple[str, str | None]]] = {}
    public: list[str] = []
    for path, item in document["paths"].items():
        for method, operation in item.items():
            name = f"`{method.upper()} {path}`"
            if "x-required-scope" not in operation:
                public.append(name)
            else:
                by_area.setdefault(operation["tags"][0], []).append((name, operation["x-required-scope"]))
    yield "\n## Routes\n"
    for area, routes in sorted(by_area.items()):
        yield f"### {area.capitalize()}\n"
        yield from _table("Route", [name for name, _ in routes], [scope for _, scope in routes], with_scope=True)
        yield ""
    yield "### Without a credential of ours\n"
    yield "Public, or with a proof of their own (a password, a one-time token, a client's secret).\n"
    yield from (f"- {name}" for name in sorted(public, key=lambda name: name.strip("`").split()[1]))


def _table(
    title: str, names: list[str], scopes: tuple[str, ...] | list[str | None], *, with_scope: bool = False
) -> Iterator[str]:
    columns = [title, *(["scope"] if with_scope else []), *_ROLES, "operator"]
    yield f"| {' | '.join(columns)} |"
    yield "|" + "---|" * len(columns)
    for name, scope in zip(names, scopes, strict=True):
        cells = [_YES if scope is None or each.has(scope) else _NO for each in _principals()]
        own = [f"`{scope}`" if scope else "any credential"] if with_scope else []
        yield f"| {' | '.join([name, *own, *cells])} |"


def _principals() -> Iterator[Principal]:
    for role in _ROLES:
        yield Principal("user", "", role, ROLE_SCOPES[role], role)
    yield Principal("platform", "", "operator", frozenset({PLATFORM}))
