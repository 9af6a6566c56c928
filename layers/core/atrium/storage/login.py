"""The index by which a login finds an email in all tenants: the one lookup of people that crosses them, for the
identity function alone (ADR 0003). It gives ids, and lags behind writes by a moment.
"""

from atrium.kernel.ids import TenantId, UserId
from atrium.storage.failures import translated
from atrium.storage.keys import login_partition
from atrium.storage.table import PhysicalTable


def list_logins(table: PhysicalTable, address: str, *, limit: int) -> list[tuple[TenantId, UserId]]:
    """Return whose email an address is, tenant by tenant, `limit` at most. One query, whatever it finds."""
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
