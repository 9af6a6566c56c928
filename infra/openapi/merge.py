"""Merges the OpenAPI documents of the functions.

The merge fails if two functions define the same operation or operation id, or define a component differently. The
result is sorted, so that it changes only if the contract changes.
"""

import json
import re
from collections.abc import Iterable
from copy import deepcopy
from typing import Any

from infra.openapi.describe import describe
from infra.openapi.examples import add_examples
from infra.openapi.texts import INFO, TAGS

type Document = dict[str, Any]

_OPERATION_ID = re.compile(r"[a-z][A-Za-z0-9]{2,63}")
_METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")


class Conflict(Exception):
    """Raised if the definitions of two functions conflict, or if an operation id or a tag is invalid."""


def merge_documents(documents: Iterable[tuple[str, Document]]) -> Document:
    """Return the merged document with descriptions and examples. Raises Conflict if the merge fails."""
    version = ""
    paths: Document = {}
    components: Document = {}
    owners: dict[str, str] = {}
    for function, document in documents:
        version = document["openapi"]
        for path, item in document["paths"].items():
            for method, operation in item.items():
                _claim(owners, f"{method.upper()} {path}", function)
                _claim(owners, f"the operation id {_check_operation(function, method, path, operation)}", function)
                paths.setdefault(path, {})[method] = operation
        for kind, found in document.get("components", {}).items():
            _merge_components(function, kind, found, components.setdefault(kind, {}), owners)
    merged = deepcopy(
        {
            "openapi": version,
            "info": INFO,
            "servers": [{"url": "/"}],
            "tags": [{"name": name, "description": TAGS[name]} for name in TAGS if name in _used_tags(paths)],
            "paths": {path: {m: paths[path][m] for m in _METHODS if m in paths[path]} for path in sorted(paths)},
            "components": {kind: dict(sorted(components[kind].items())) for kind in sorted(components)},
        }
    )
    describe(merged)
    add_examples(merged)
    return merged


def render(document: Document) -> str:
    """Return the document as JSON text in the format of the committed file."""
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def _claim(owners: dict[str, str], thing: str, function: str) -> None:
    if thing in owners:
        raise Conflict(f"{thing} is in {owners[thing]} and in {function}")
    owners[thing] = function


def _check_operation(function: str, method: str, path: str, operation: Document) -> str:
    name: str = operation["operationId"]
    if not _OPERATION_ID.fullmatch(name):
        raise Conflict(f"{function}: {method.upper()} {path} has the operation id {name}, which is not a readable name")
    unknown = set(operation.get("tags", ())) - TAGS.keys()
    if unknown or not operation.get("tags"):
        raise Conflict(f"{function}: {name} needs tags of infra/openapi/texts.py, not {sorted(unknown) or 'none'}")
    return name


def _merge_components(function: str, kind: str, found: Document, merged: Document, owners: dict[str, str]) -> None:
    for name, component in found.items():
        if name in merged and merged[name] != component:
            raise Conflict(f"{kind}/{name} differs between {owners[f'{kind}/{name}']} and {function}")
        merged[name] = component
        owners.setdefault(f"{kind}/{name}", function)


def _used_tags(paths: Document) -> set[str]:
    return {tag for item in paths.values() for operation in item.values() for tag in operation["tags"]}
