"""The principal that a credential of each kind acts as: built here for the authorizer and for trials of policies."""

from atrium.identity.clients.model import Client
from atrium.identity.keys.model import ApiKey
from atrium.identity.scopes import scopes_of_role
from atrium.identity.users.model import User
from atrium.tenants.context import Principal, Role


def principal_of_key(key: ApiKey) -> Principal:
    own_id = key.id if key.first_id else ""
    return Principal("key", key.principal_id, key.name, frozenset(key.scopes), credential_id=own_id)


def principal_of_client(client: Client) -> Principal:
    return Principal("client", client.id, client.name, frozenset(client.scopes))


def principal_of_user(user: User, *, role: Role | None = None, client: Client | None = None) -> Principal:
    """Return what a user may do, in the role of their login if that is another one, and through a client if any."""
    held = scopes_of_role(role or user.role)
    if client is not None:
        holder = principal_of_client(client)
        held = frozenset(scope for scope in held if holder.has(scope))
    client_id = client.id if client is not None else ""
    return Principal("user", user.id, user.name or user.email, held, role or user.role, client_id=client_id)
