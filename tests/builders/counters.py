"""What a tenant's admission items say, all shards together."""

from atrium.kernel.ids import TenantId
from atrium.quotas.listing import read_shards
from atrium.quotas.meters import METERS
from atrium.quotas.model import LimitName
from atrium.quotas.state import State

from tests.builders.house import TENANT, House


def held(house: House, tenant: TenantId = TENANT) -> list[str]:
    """Return the runs, by their own half of the id, that hold a slot, or held one that lapsed."""
    found = read_shards(house.table(tenant)).values()
    return [name for item in found for name in (*item.get("slots", {}), *item.get("late", {}))]


def counted(house: House, limit: LimitName, tenant: TenantId = TENANT) -> int:
    """Return what is counted against a limit of a tenant now."""
    items = read_shards(house.table(tenant)).values()
    return sum(State(item, house.clock().timestamp()).used(METERS[limit], "") for item in items)
