"""Whose limits are counted in the tenant's own admission items: the first twenty users, keys and agents that had any.

Every write pays for the size of its item, so the others are counted each in an item of its own. Where somebody is
counted never changes: what was used would be forgotten. So who is among the twenty stays, also without limits.
"""

from collections.abc import Mapping
from typing import Any

from atrium.kernel.errors import ConditionFailed
from atrium.storage import keys
from atrium.storage.table import TenantTable
from atrium.storage.writes import EXISTS, Update

RESIDENTS_MAX = 20


def is_apart(tenant: Mapping[str, Any], subject_id: str) -> bool:
    """Tell by the tenant's item whether a subject's limits are counted apart."""
    return subject_id not in tenant.get("residents", ())


def settle_in(table: TenantTable, subject_id: str, limits: Mapping[str, Any] | None) -> None:
    """Give a subject that is to have limits a place among the twenty, if one is left; call it before they are written.

    Safe to repeat; a write unit.
    """
    if not limits:
        return
    condition = (
        f"{EXISTS} AND (attribute_not_exists(#residents) OR"
        " (NOT contains(#residents, :id) AND size(#residents) < :most))"
    )
    expression = "SET #residents = list_append(if_not_exists(#residents, :none), :new)"
    values = {"id": subject_id, "most": RESIDENTS_MAX, "none": [], "new": [subject_id]}
    try:
        table.write(Update(keys.tenant(), expression, condition, values))
    except ConditionFailed:
        return
