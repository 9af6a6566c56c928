"""Where deletions that may have work left are listed, among the platform's items.

DELETIONS                   <ten>               a deletion that has begun (sweeper, every minute)
"""

from atrium.kernel.ids import TenantId
from atrium.storage.keys import Key

PARTITION = "DELETIONS"


def deletion(tenant_id: TenantId) -> Key:
    return Key(PARTITION, tenant_id)
