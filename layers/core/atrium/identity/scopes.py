"""What each role may do: the one table that credentials, routes and documentation are made from.

viewer   every `:read`
user     also chat, sessions:write, jobs:write
admin    all of a tenant's
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
    """Return what a role may do; nothing for a text that is no role, as a record may have."""
    return ROLE_SCOPES.get(role, frozenset())


def sort_scopes(scopes: Iterable[str]) -> tuple[str, ...]:
    """Return scopes once each, in the order of the table."""
    wanted = set(scopes)
    return tuple(scope for scope in SCOPES if scope in wanted)


def list_permissions(principal: Principal) -> tuple[str, ...]:
    """Return every scope that the principal's own include."""
    return tuple(scope for scope in SCOPES if principal.has(scope))


def find_excess(wanted: Iterable[str], grantor: Principal) -> tuple[str, ...]:
    """Return the scopes that the grantor cannot give, because it does not hold them itself."""
    return tuple(scope for scope in sort_scopes(wanted) if not grantor.has(scope))
