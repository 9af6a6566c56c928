"""The generated page of permissions is complete. A change to a route's scope makes the page outdated."""

import json
from pathlib import Path

import pytest
from atrium.identity.scopes import SCOPES

from infra.openapi.permissions import DOCUMENT, PAGE, check_permissions, render_permissions


def test_the_committed_page_is_current() -> None:
    assert list(check_permissions()) == []


def test_every_route_and_scope_is_there() -> None:
    text, document = PAGE.read_text(), json.loads(DOCUMENT.read_text())
    for path, item in document["paths"].items():
        for method in item:
            assert f"`{method.upper()} {path}`" in text
    assert [scope for scope in SCOPES if f"| `{scope}` | " not in text] == []


@pytest.mark.parametrize(
    ("route", "cells"),
    [
        ("GET /v1/sessions", "`sessions:read` | yes | yes | yes | yes"),
        ("POST /v1/chat", "`chat` | – | yes | yes | yes"),
        ("POST /v1/keys", "`admin` | – | – | yes | yes"),
        ("POST /v1/tenants", "`platform` | – | – | – | yes"),
        ("GET /v1/auth/me", "any credential | yes | yes | yes | yes"),
    ],
)
def test_lists_who_may_call_each_route(route: str, cells: str) -> None:
    assert f"| `{route}` | {cells} |" in PAGE.read_text()


def test_another_scope_makes_it_stale(tmp_path: Path) -> None:
    document = json.loads(DOCUMENT.read_text())
    document["paths"]["/v1/keys"]["get"]["x-required-scope"] = "chat"
    changed = tmp_path / "openapi.json"
    changed.write_text(json.dumps(document))
    assert list(check_permissions(changed)) == ["permissions.md is stale; run `make openapi` and commit it"]
    page = tmp_path / "permissions.md"
    page.write_text(render_permissions(document))
    assert list(check_permissions(changed, page)) == []
