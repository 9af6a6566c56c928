"""Erases the platform items that refer to a deleted tenant."""

from atrium.erasure.model import PAGE, Step, Target, erase_page
from atrium.kernel.pagination import Position
from atrium.storage import keys, provider_keys, throttle_keys
from atrium.storage.table import Query
from atrium.tenants.registry import TenantRegistry

_ABOUT = "contains(#path, :id) OR contains(#saved.#headers.#location, :id)"


def erase_names(target: Target, position: Position | None) -> Step:
    """Erase the markers of the tenant's names. Costs one read unit for every fifty names of all tenants."""
    page = TenantRegistry(target.platform).list_names(target.tenant.id, position)
    target.platform.delete_all(page.items)
    return Step(len(page.items), position=page.position, is_done=page.position is None)


def erase_issuers(target: Target, position: Position | None) -> Step:
    """Erase the markers of the tenant's issuers, including issuers to which no identity provider refers."""
    place = provider_keys.issuers_of(target.tenant.id)
    page = target.platform.query_keys(Query(place, index="gsi2", limit=PAGE, position=position))
    target.platform.delete_all(page.items)
    return Step(len(page.items), position=page.position, is_done=page.position is None)


def erase_unlocks(target: Target, _position: Position | None) -> Step:
    """Erase the items that count the unlocks of the tenant's emails."""
    items, is_done = erase_page(target.platform, throttle_keys.unlocks_of(target.tenant.id))
    return Step(items, is_done=is_done)


def erase_answers(target: Target, position: Position | None) -> Step:
    """Erase the saved responses of the operator's calls that concern the tenant.

    Costs one read unit for each 4 kB of the platform's saved responses.
    """
    values = {"id": target.tenant.id}
    query = Query(keys.IDEMPOTENCY, limit=PAGE, position=position, where=_ABOUT, values=values)
    page = target.platform.query_keys(query)
    target.platform.delete_all(page.items)
    return Step(len(page.items), position=page.position, is_done=page.position is None)
