"""Builds the principal of each kind of credential, for the authorizer and for policy dry runs."""

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
    """Return the principal of a user. If `role` is given, it replaces the user's role.

    If `client` is given, the scopes are restricted to the client's scopes.
    """
    held = scopes_of_role(role or user.role)
    if client is not None:
        holder = principal_of_client(client)
        held = frozenset(scope for scope in held if holder.has(scope))
    client_id = client.id if client is not None else ""
    return Principal("user", user.id, user.name or user.email, held, role or user.role, client_id=client_id)
