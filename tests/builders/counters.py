"""What a tenant's admission items say."""

from atrium.kernel.ids import TenantId
from atrium.quotas.item import AdmissionItem
from atrium.quotas.limits import DEFINITIONS
from atrium.quotas.model import LimitName
from atrium.storage import keys

from tests.builders.house import TENANT, House


def admission_item(house: House, tenant: TenantId = TENANT, scope_id: str = "") -> AdmissionItem:
    """Return a scope's admission item as it stands."""
    return AdmissionItem(house.table(tenant).get(keys.admission(scope_id)), house.clock().timestamp())


def held(house: House, tenant: TenantId = TENANT) -> list[str]:
    """Return the runs, by their own half of the id, that have a slot, or one whose lease is over."""
    item = admission_item(house, tenant)
    return [*item.slots, *item.late]


def counted(house: House, limit: LimitName, tenant: TenantId = TENANT) -> int:
    """Return what is counted against a limit of a tenant now."""
    definition = DEFINITIONS[limit]
    key = keys.tool_calls("") if definition.place == "tool_calls" else keys.admission("")
    return AdmissionItem(house.table(tenant).get(key), house.clock().timestamp()).used(definition)
