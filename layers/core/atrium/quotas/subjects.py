"""Who has limits of its own: the user or key that calls, and the agent that answers."""

from collections.abc import Mapping
from typing import Any

from atrium.kernel.ids import KeyId, UserId
from atrium.quotas.limits import read_limits
from atrium.quotas.model import Subject
from atrium.quotas.residents import is_apart
from atrium.storage import keys
from atrium.storage.keys import Key
from atrium.tenants.context import Principal


def place_of(principal: Principal) -> Key | None:
    """Return the item that holds a caller's own limits; None for who can have none.

    A key that came by rotation counts under the first of its line, but its limits are those of its own item.
    """
    match principal.type:
        case "user":
            return keys.user(UserId(principal.id))
        case "key":
            return keys.api_key(KeyId(principal.credential_id or principal.id))
        case _:
            return None


def subject_of(principal: Principal, item: Mapping[str, Any] | None, tenant: Mapping[str, Any]) -> Subject | None:
    """Return a caller with its own limits, as its item says; None where it has none."""
    own = read_limits(item)
    if not own or principal.type not in {"user", "key"}:
        return None
    apart = is_apart(tenant, principal.id)
    return Subject("user" if principal.type == "user" else "key", principal.id, own, apart)
