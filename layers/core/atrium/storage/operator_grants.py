"""Refuses writes to a tenant's items that would grant the operator's scope."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from atrium.kernel.errors import Forbidden
from atrium.storage.keys import Key
from atrium.storage.writes import Put, Update

GRANTS = frozenset({"scopes", "permissions", "role", "roles", "default_role", "role_mapping"})
"""The attributes that grant permissions, in every kind of item."""
OPERATOR = "platform"
# The scopes of a connection are those of an external provider (Google, Slack); they grant nothing here.
_FOREIGN = "CONNECTION#"
_CLAUSES = re.compile(r",(?![^()]*\))|\b(?:SET|ADD|REMOVE|DELETE)\b")


def refuse_operator_grant(write: Put | Update) -> None:
    """Raise `Forbidden` if a write to a tenant's item grants the operator's scope."""
    if _is_foreign(write.key):
        return
    granted = write.item.items() if isinstance(write, Put) else _assigned(write)
    if any(name in GRANTS and _holds_operator(value) for name, value in granted):
        raise Forbidden(
            "The scope platform cannot be granted within a tenant.", internal=f"a write to {write.key.sort}"
        )


def _assigned(update: Update) -> Iterator[tuple[str, Any]]:
    """Yield each attribute that an expression assigns to, with each value that goes into it."""
    for clause in _CLAUSES.split(update.expression):
        target = re.search(r"#(\w+)", clause)
        if target is not None:
            name = update.names.get(target[1], target[1])
            yield from ((name, update.values[value]) for value in re.findall(r":(\w+)", clause))


def _holds_operator(value: object) -> bool:
    if isinstance(value, Mapping):
        return any(_holds_operator(each) for each in value.values())
    if isinstance(value, list | tuple | set | frozenset):
        return any(_holds_operator(each) for each in value)
    return value == OPERATOR


def _is_foreign(key: Key) -> bool:
    return key.sort.startswith(_FOREIGN)
