"""The scopes of each role. Credentials, routes and documentation use this table.

viewer   all scopes that end with `:read`
user     the scopes of a viewer, and chat, sessions:write and jobs:write
admin    all scopes of a tenant
"""

from collections.abc import Iterable
from typing import Literal, get_args

from atrium.tenants.context import Principal, Role

type Scope = Literal[
    "chat", "sessions:read", "sessions:write", "jobs:read", "jobs:write", "agents:read", "agents:write",
    "usage:read", "admin", "platform",
]  # fmt: skip

PLATFORM = "platform"
SCOPES: tuple[str, ...] = get_args(Scope.__value__)
TENANT_SCOPES = tuple(scope for scope in SCOPES if scope != PLATFORM)
KEY_SCOPES_DEFAULT: tuple[Scope, ...] = ("chat", "sessions:read", "sessions:write")

_READS = frozenset(scope for scope in SCOPES if scope.endswith(":read"))
ROLE_SCOPES: dict[Role, frozenset[str]] = {
    "viewer": _READS,
    "user": _READS | {"chat", "sessions:write", "jobs:write"},
    "admin": frozenset(TENANT_SCOPES),
}


def scopes_of_role(role: Role) -> frozenset[str]:
    """Return the scopes of a role. The result is empty for an unknown role in a stored record."""
    return ROLE_SCOPES.get(role, frozenset())


def sort_scopes(scopes: Iterable[str]) -> tuple[str, ...]:
    """Return the scopes without duplicates, in the order of `SCOPES`. Unknown scopes are removed."""
    wanted = set(scopes)
    return tuple(scope for scope in SCOPES if scope in wanted)


def list_permissions(principal: Principal) -> tuple[str, ...]:
    """Return all permissions of a principal: the granted scopes, and the scopes that the granted scopes include."""
    return tuple(scope for scope in SCOPES if principal.has(scope))


def find_excess(wanted: Iterable[str], grantor: Principal) -> tuple[str, ...]:
    """Return the scopes that the grantor does not have and therefore cannot grant."""
    return tuple(scope for scope in sort_scopes(wanted) if not grantor.has(scope))
