"""The names that a caller answers to: its own, its tenant's, its role's, and those of the scopes that it holds."""

from atrium.identity.clients.model import Client
from atrium.identity.clients.store import ClientStore
from atrium.identity.keys.store import KeyStore
from atrium.identity.principals import principal_of_client, principal_of_key, principal_of_user
from atrium.identity.scopes import list_permissions
from atrium.identity.users.store import UserStore
from atrium.kernel.ids import ClientId, KeyId, UserId, is_id
from atrium.storage.table import TenantTable
from atrium.tenants.context import Principal

type Subject = frozenset[str]


def subject_of(tenant_id: str, principal: Principal) -> Subject:
    """Return the names of a caller.

    A rotated key answers to its own id and to that of its line, a user's token also to the client it was given to.
    """
    names = {
        "tenant": tenant_id,
        principal.type: principal.id,
        "role": principal.role,
        "client": principal.client_id or (principal.id if principal.type == "client" else ""),
    }
    own = {f"{kind}:{name}" for kind, name in names.items() if name}
    if principal.credential_id:
        own.add(f"{principal.type}:{principal.credential_id}")
    return frozenset(own) | {f"scope:{scope}" for scope in list_permissions(principal)}


def find_subject(table: TenantTable, name: str, client_id: str = "") -> Subject:
    """Return the names of a principal that is named alone (`user:…`, `key:…`, `client:…`), as it would call now.

    `client_id` is the client through which a user calls. A name that nobody has stands for itself: it has no scopes.
    """
    kind, _, some_id = name.partition(":")
    if kind == "tenant":
        return frozenset({name})
    principal = _find_principal(table, kind, some_id, client_id)
    if principal is None:
        return frozenset({f"tenant:{table.tenant_id}", name})
    return subject_of(table.tenant_id, principal)


def _find_principal(table: TenantTable, kind: str, some_id: str, client_id: str) -> Principal | None:
    match kind:
        case "user" if is_id(some_id, "usr"):
            user = UserStore(table).get(UserId(some_id))
            return principal_of_user(user, client=_find_client(table, client_id)) if user else None
        case "key" if is_id(some_id, "key"):
            key = KeyStore(table).get(KeyId(some_id))
            return principal_of_key(key) if key else None
        case "client":
            client = _find_client(table, some_id)
            return principal_of_client(client) if client else None
        case _:
            return None


def _find_client(table: TenantTable, client_id: str) -> Client | None:
    return ClientStore(table).get(ClientId(client_id)) if is_id(client_id, "cli") else None
