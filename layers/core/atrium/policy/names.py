"""Checks that the names in a policy exist.

An exact name that does not exist is rejected, because the policy would have no effect. A pattern without a match causes
only a warning, because it may match later.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from atrium.identity.clients.store import ClientStore
from atrium.identity.keys.store import KeyStore
from atrium.identity.scopes import TENANT_SCOPES
from atrium.identity.users.store import UserStore
from atrium.kernel.errors import invalid_field
from atrium.kernel.ids import UserId, is_id
from atrium.kernel.pagination import read_all
from atrium.policy.engine import WILDCARD, match
from atrium.storage.table import TenantTable
from atrium.tenants.context import ROLES

NAMED = ("principals", "resources")
_SHOWN_MAX = 20


@dataclass(frozen=True, slots=True)
class PolicyNames:
    """The names that a tenant's policies can use.

    `routes` contains the routes that have a policy check, such as `GET /v1/sessions`. `tools` lists the names of tools.
    """

    table: TenantTable
    routes: Sequence[str]
    tools: Callable[[], Iterable[str]]
    models: Sequence[str]

    def check(self, fields: Mapping[str, Iterable[str]]) -> list[str]:
        """Return a warning for each pattern that matches no existing name.

        `fields` contains the patterns of a new policy, or the patterns that a change adds. Names of unknown kinds are
        not checked. Raises `ValidationFailed` for an exact name that does not exist.
        """
        warnings: list[str] = []
        for field in NAMED:
            for name in fields.get(field, ()):
                kind, _, rest = name.partition(":")
                lister = self._listers.get(kind)
                if lister is None or not rest or rest == WILDCARD:
                    continue
                known = list(lister(rest))
                if any(match(rest, each) for each in known):
                    continue
                if WILDCARD not in rest:
                    raise invalid_field(field, f"`{name}` does not exist{_show(kind, known)}")
                warnings.append(f"`{name}` in `{field}` does not match any existing name")
        return warnings

    @property
    def _listers(self) -> Mapping[str, Callable[[str], Iterable[str]]]:
        """Return the functions that list the existing names, by kind."""
        return {
            "tenant": lambda _: [self.table.tenant_id],
            "role": lambda _: ROLES,
            "scope": lambda _: TENANT_SCOPES,
            "user": self._list_users,
            "key": self._list_keys,
            "client": self._list_clients,
            "route": lambda _: self.routes,
            "tool": lambda _: self.tools(),
            "model": lambda _: self.models,
        }

    def _list_users(self, wanted: str) -> Iterator[str]:
        store = UserStore(self.table)
        if WILDCARD in wanted:
            yield from (user.id for user in read_all(store.list))
        elif is_id(wanted, "usr") and store.get(UserId(wanted)) is not None:
            yield wanted

    def _list_keys(self, _: str) -> Iterator[str]:
        """Yield the id of each API key, and the id of the first key in its line of rotations, which may be deleted."""
        for key in read_all(KeyStore(self.table).list):
            yield from (key.id, key.principal_id)

    def _list_clients(self, _: str) -> Iterator[str]:
        yield from (client.id for client in read_all(ClientStore(self.table).list))


def _show(kind: str, known: Sequence[str]) -> str:
    """Return the end of a message that lists the valid names, or "" if they are too many or confidential."""
    listed = kind in {"role", "scope", "tool", "model"} and len(known) <= _SHOWN_MAX
    return f"; valid names are {', '.join(known)}" if listed else ""
