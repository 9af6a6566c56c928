"""The names that a caller answers to: its own, its tenant's, its role's, and those of the scopes that it holds."""

from collections.abc import Iterable

from atrium.identity.keys.store import KeyStore
from atrium.identity.scopes import list_permissions, scopes_of_role
from atrium.identity.users.store import UserStore
from atrium.kernel.ids import KeyId, UserId, is_id
from atrium.storage.table import TenantTable
from atrium.tenants.context import Principal, TenantContext

type Subject = frozenset[str]


def subject_of(context: TenantContext) -> Subject:
    """Return the names of the caller of a call."""
    principal = context.principal
    role = [f"role:{principal.role}"] if principal.role else []
    return _names(context.tenant_id, [f"{principal.type}:{principal.id}", *role], list_permissions(principal))


def find_subject(table: TenantTable, name: str) -> Subject:
    """Return the names of a principal that is named alone (`user:…`, `key:…`), as it would call now. One read.

    A name that nobody has stands for itself: it has no scopes.
    """
    kind, _, some_id = name.partition(":")
    if kind == "tenant":
        return frozenset({name})
    if kind == "user" and is_id(some_id, "usr"):
        user = UserStore(table).get(UserId(some_id))
        if user is not None:
            return _names(table.tenant_id, [name, f"role:{user.role}"], scopes_of_role(user.role))
    if kind == "key" and is_id(some_id, "key"):
        key = KeyStore(table).get(KeyId(some_id))
        if key is not None:
            held = list_permissions(Principal("key", some_id, key.name, frozenset(key.scopes)))
            return _names(table.tenant_id, [name, f"key:{key.principal_id}"], held)
    return _names(table.tenant_id, [name], ())


def _names(tenant_id: str, names: Iterable[str], scopes: Iterable[str]) -> Subject:
    return frozenset({f"tenant:{tenant_id}", *names, *(f"scope:{scope}" for scope in scopes)})
