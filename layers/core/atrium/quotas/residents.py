"""Whose limits are counted in the tenant's own admission items: the first twenty users, keys and agents that had any.

Every write pays for the size of its item, so the others are counted each in an item of its own; and so is everyone
who gets limits while the tenant has several items. Where somebody is counted never changes: what was used would be
forgotten. So who is among the twenty stays, also without limits.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from atrium.kernel.errors import ConditionFailed
from atrium.kernel.ids import AgentId, KeyId, UserId
from atrium.quotas.limits import read_limits
from atrium.quotas.meters import METERS, prefix_of
from atrium.quotas.model import UNLIMITED, Limits, Scope
from atrium.quotas.terms import read_terms
from atrium.storage import keys
from atrium.storage.keys import Key
from atrium.storage.table import TenantTable
from atrium.storage.writes import EXISTS, Update

RESIDENTS_MAX = 20
_SCOPES: Mapping[str, Scope] = {"usr": "user", "key": "key", "agt": "agent"}


def is_apart(tenant: Mapping[str, Any], subject_id: str) -> bool:
    """Tell by the tenant's item whether a subject's limits are counted apart."""
    return subject_id not in tenant.get("residents", ())


def settle_in(table: TenantTable, subject_id: str, limits: Mapping[str, Any] | None) -> None:
    """Give a subject that is to have limits a place among the twenty, if one is left; call it before they hold.

    Safe to repeat; a read and a write unit.
    """
    tenant = table.get(keys.tenant()) if limits else None
    if tenant is None or not is_apart(tenant, subject_id) or read_terms(tenant).shards > 1:
        return
    expression = "SET #residents = list_append(if_not_exists(#residents, :none), :new)"
    condition = (
        f"{EXISTS} AND (attribute_not_exists(#residents) OR"
        " (NOT contains(#residents, :id) AND size(#residents) < :most))"
    )
    values = {"id": subject_id, "most": RESIDENTS_MAX, "none": [], "new": [subject_id]}
    try:
        table.write(Update(keys.tenant(), expression, condition, values))
    except ConditionFailed:
        return


def bounds_of(limits: Limits, prefix: str = "") -> dict[str, int]:
    """Return limits a minute by the family of seconds that each bounds."""
    found = {
        prefix + meter.letter: limits.get(name, UNLIMITED) for name, meter in METERS.items() if meter.span == "minute"
    }
    return {family: figure for family, figure in found.items() if figure != UNLIMITED}


def read_bounds(table: TenantTable, residents: Sequence[str]) -> dict[str, int]:
    """Return those of the subjects that live with their tenant, as their own items say now. One batch."""
    places = {place: each for each in residents if (place := _place_of(each)) is not None}
    found = table.batch_get(list(places)) if places else {}
    bounds: dict[str, int] = {}
    for place, item in found.items():
        subject_id = places[place]
        bounds |= bounds_of(read_limits(item), prefix_of(_SCOPES[subject_id[:3]], subject_id))
    return bounds


def _place_of(subject_id: str) -> Key | None:
    match _SCOPES.get(subject_id[:3]):
        case "user":
            return keys.user(UserId(subject_id))
        case "key":
            return keys.api_key(KeyId(subject_id))
        case "agent":
            return keys.agent(AgentId(subject_id))
        case _:
            return None
