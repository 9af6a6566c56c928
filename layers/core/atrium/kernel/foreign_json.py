"""Parses JSON documents from other systems: discovery documents, key sets, claims and token responses."""

import json
from typing import Any


def read_foreign_json(text: bytes | str) -> Any:
    """Parse a JSON text and remove object members that are null; raise `ValueError` for invalid JSON.

    Many issuers send null for a member that they should omit (OpenID Connect Core §5.3.2).
    """
    try:
        return json.loads(text, object_hook=_drop_nulls)
    except RecursionError as error:
        raise ValueError("nested too deep") from error


def _drop_nulls(members: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}
