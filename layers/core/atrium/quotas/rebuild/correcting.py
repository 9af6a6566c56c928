"""Writing what a rebuild found, by differences: what is admitted and settled meanwhile adds to the same counters.

A tenant's items are raised first and lowered afterwards, so that no limit is open in between; and each gets an even
part of what there is, which is within its share of any limit. Each write is applied once: it is on the condition of the
token that the look left, and moves it on.
"""

from collections.abc import Mapping, Sequence

from atrium.kernel.errors import ConditionFailed
from atrium.quotas.expression import Expression
from atrium.quotas.rebuild.fencing import FENCE, Look
from atrium.quotas.rebuild.tally import CounterName
from atrium.quotas.shards import share
from atrium.quotas.state import LAYOUT
from atrium.quotas.store import AdmissionStore
from atrium.usage.rebuild import RebuildSuperseded

_RAISED = ":raised"


def plan_corrections(
    looks: Sequence[Look], wanted: Mapping[CounterName, int], second: int
) -> dict[int, dict[str, int]]:
    """Return what to add to which attributes of which item, so that together they have what is wanted.

    Items that are left over of more shards than there are now (`LAYOUT`) are to have nothing.
    """
    added: dict[int, dict[str, int]] = {look.shard: {} for look in looks}
    used = [look.shard for look in looks if look.shard < int(look.item.get(LAYOUT, look.shard + 1))]
    for name, total in wanted.items():
        attribute = name.attribute(second)
        for look in looks:
            part = share(total, used.index(look.shard), len(used)) if look.shard in used else 0
            more = part - int(look.item.get(attribute, 0))
            if more:
                added[look.shard][attribute] = more
    return added


def correct(store: AdmissionStore, looks: Sequence[Look], added: Mapping[int, Mapping[str, int]], token: str) -> None:
    """Apply corrections, and take the tokens away; `RebuildSuperseded` if another rebuild has looked since."""
    if len(looks) > 1:
        for look in looks:
            raises = {name: more for name, more in added[look.shard].items() if more > 0}
            _write(store, look.shard, raises, before=token, after=token + _RAISED)
        token += _RAISED
    for look in looks:
        left = {name: more for name, more in added[look.shard].items() if more < 0 or len(looks) == 1}
        _write(store, look.shard, left, before=token, after=None)


def _write(store: AdmissionStore, shard: int, added: Mapping[str, int], *, before: str, after: str | None) -> None:
    expression = Expression()
    expression.require_equal(FENCE, before)
    if after is None:
        expression.remove(FENCE)
    else:
        expression.set(FENCE, after)
    for attribute, more in added.items():
        expression.add(attribute, more)
    try:
        store.table.write(expression.update(store.key_of(shard)))
    except ConditionFailed as refused:
        if (refused.item or {}).get(FENCE) != after:
            raise RebuildSuperseded from refused
        # else it was this very write, whose reply was lost
