"""What a tenant's admission items say, all shards together."""

from atrium.kernel.ids import TenantId
from atrium.quotas.meters import METERS
from atrium.quotas.model import LimitName
from atrium.quotas.state import State

from tests.builders.house import TENANT, House

_SHARDS = 4  # of the plan pro


def held(house: House, tenant: TenantId = TENANT) -> list[str]:
    """Return the runs, by their own half of the id, that hold a slot, or held one that lapsed."""
    found = [house.admissions(tenant).store.read(shard) for shard in range(_SHARDS)]
    return [name for item in found if item for name in (*item.get("slots", {}), *item.get("late", {}))]


def counted(house: House, limit: LimitName, tenant: TenantId = TENANT) -> int:
    """Return what is counted against a limit of a tenant now."""
    items = [house.admissions(tenant).store.read(shard) for shard in range(_SHARDS)]
    return sum(State(item, house.clock().timestamp()).used(METERS[limit], "") for item in items)
