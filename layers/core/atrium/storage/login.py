"""The login index, which finds users of all tenants by their email address.

Only the role of the identity function may read the index (ADR 0003). A query returns only ids and is eventually
consistent.
"""

from atrium.kernel.ids import TenantId, UserId
from atrium.storage.keys import login_partition
from atrium.storage.table import PhysicalTable, translated


def list_logins(table: PhysicalTable, address: str, *, limit: int) -> list[tuple[TenantId, UserId]]:
    """Return the tenant ids and user ids of up to `limit` users with an email address, ordered by tenant id.

    Costs one query.
    """
    with translated():
        answer = table.client.query(
            TableName=table.name,
            IndexName="login",
            KeyConditionExpression="login_pk = :address",
            ExpressionAttributeValues={":address": {"S": login_partition(address)}},
            Limit=limit,
        )
    found = [str(item["login_sk"]["S"]).partition("#") for item in answer["Items"]]
    return [(TenantId(tenant_id), UserId(user_id)) for tenant_id, _, user_id in found]
