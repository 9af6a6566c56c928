"""Checks that the OpenAPI document and the template have the same routes and the same public routes."""

import json
from collections.abc import Iterator
from pathlib import Path

from infra.checks.routes import PUBLIC, read_routes
from infra.runtime.template import ROOT, Document

CONTRACT = ROOT / "functions" / "console" / "openapi.json"
METHODS = frozenset({"get", "put", "post", "delete", "options", "head", "patch", "trace"})
# HTML pages, which are not operations of the API.
PAGES = frozenset(
    {
        ("GET", "/"),
        ("GET", "/docs"),
        ("GET", "/docs/{proxy+}"),
        ("GET", "/oauth/authorize"),
        ("POST", "/oauth/authorize"),
    }
)


def read_contract(path: Path = CONTRACT) -> Document | None:
    """Return the committed OpenAPI document, or None if the file does not exist."""
    return dict(json.loads(path.read_text())) if path.exists() else None


def check_contract(template: Document, contract: Document | None) -> Iterator[str]:
    """Yield a finding for each route that differs between the template and the OpenAPI document.

    HEAD routes are skipped, because they are derived from GET routes. If `contract` is None, nothing is checked.
    """
    if contract is None:
        return
    deployed = {(route.method, route.path) for route in read_routes(template) if route.method != "HEAD"} - PAGES
    documented = _operations(contract)
    for method, path in sorted(deployed - documented.keys()):
        yield f"{method} {path} is deployed but not in {CONTRACT.name}"
    for method, path in sorted(documented.keys() - deployed - PAGES):
        yield f"{method} {path} is in {CONTRACT.name} but not deployed"
    for (method, path), is_open in sorted(documented.items()):
        if (method, path) in deployed and is_open != ((method, path) in PUBLIC):
            yield f"{method} {path}: the document and the template disagree on whether it needs a credential"


def _operations(contract: Document) -> dict[tuple[str, str], bool]:
    """Return the operations by method and path; the value is True if the operation is public."""
    default = contract.get("security", [])
    return {
        (method.upper(), path): not operation.get("security", default)
        for path, item in contract.get("paths", {}).items()
        for method, operation in item.items()
        if method in METHODS
    }
