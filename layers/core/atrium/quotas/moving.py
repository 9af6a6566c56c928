"""What a change of limits means for calls that are under way: terms are read again, and holds are found again.

A slot may lie in another shard than its run's hold says, once counters were dealt out anew.
"""

from collections.abc import Callable
from dataclasses import replace

from atrium.kernel.errors import Unavailable
from atrium.quotas.listing import read_shards
from atrium.quotas.model import Hold
from atrium.quotas.settling import find_hold
from atrium.quotas.state import LAYOUT, State
from atrium.quotas.terms import Terms, TermsOutdated, read_terms
from atrium.storage import keys
from atrium.storage.table import TenantTable

_ATTEMPTS = 4


def under_current_terms[Answer](table: TenantTable, terms: Terms, ask: Callable[[Terms], Answer]) -> Answer:
    """Ask under the terms as they are known, and where they are outdated, as the tenant's item has them now."""
    for _ in range(_ATTEMPTS):
        try:
            return ask(terms)
        except TermsOutdated:
            tenant = table.get(keys.tenant())
            if tenant is None:
                break
            terms = read_terms(tenant, terms.ceiling)
    raise Unavailable(internal="a tenant's limits changed all the time", retry_after_seconds=1)


def find_moved(table: TenantTable, hold: Hold, now: float) -> Hold | None:
    """Return a hold that is not where it was; None where it is nowhere, or nothing was ever dealt out. One query."""
    items = read_shards(table)
    if not any(LAYOUT in item for item in items.values()):
        return None
    for shard, item in items.items():
        found = find_hold(replace(hold, shard=shard), State(item, now)) if shard != hold.shard else None
        if found is not None:
            return found
    return None
