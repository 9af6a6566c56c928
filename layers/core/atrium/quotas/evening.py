"""Making room in one of a tenant's items for a call that fits only into what is left of several together."""

from collections.abc import Callable, Sequence

from atrium.quotas.charges import Entry
from atrium.quotas.shards import Shard, plan_evening
from atrium.quotas.state import State
from atrium.quotas.store import AdmissionStore


def even_out(
    store: AdmissionStore, receivers: Sequence[int], shards: int, entry_of_shard: Callable[[int], Entry]
) -> bool:
    """Make room in one of some shards by moving counters from others; True if it is worth asking again."""
    now = store.clock().timestamp()
    found = [Shard(store.key_of(each), entry_of_shard(each), State(store.read(each), now)) for each in range(shards)]
    if any(shard.holds_its_lease for shard in found):
        return True
    updates = plan_evening(found, receivers)
    if not updates:
        return False
    store.move(updates)
    return True
