"""The index of emails across tenants, for login. Only the identity function's role may read it (ADR 0003).

It returns ids and is eventually consistent.
"""

from atrium.kernel.ids import TenantId, UserId
from atrium.storage.keys import login_partition
from atrium.storage.table import PhysicalTable, translated


def list_logins(table: PhysicalTable, address: str, *, limit: int) -> list[tuple[TenantId, UserId]]:
    """Return the tenant id and user id of users with an email, ordered by tenant, at most `limit`. One query."""
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
