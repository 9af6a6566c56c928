"""Erases the items that refer to a deleted user. Sessions, usage and audit remain and contain the user's id.

    tenant items      connections, token families, authorization codes, links of subjects, counters of limits
    platform items    login throttles

The items are erased after the transaction that deletes the user. If the erasure is interrupted, the same call can be
repeated. The login throttles are found only by the email, so a repeated call may not delete them. They expire after 30
days.
"""

from collections.abc import Iterator
from dataclasses import replace

from atrium.identity.login.throttles import Throttles
from atrium.identity.users.model import same_address
from atrium.kernel.ids import UserId
from atrium.kernel.pagination import LIMIT_MAX
from atrium.storage import keys, provider_keys
from atrium.storage.keys import Key
from atrium.storage.table import Query, TenantTable


def erase_traces(table: TenantTable, throttles: Throttles, user_id: UserId, email: str = "") -> None:
    """Erase the items of a deleted user. If `email` is empty, the login throttles are not erased.

    Makes one batch read and three queries. One query reads all links to external identities in the tenant.
    """
    places = list(table.batch_get([keys.admission(user_id), keys.tool_calls(user_id)]))
    for query in _queries(user_id):
        places += _list(table, query)
    table.delete_all(places)
    if email:
        throttles.forget(same_address(email), user_id, table.tenant_id)


def _queries(user_id: UserId) -> Iterator[Query]:
    yield Query("", prefix=provider_keys.connections_of(user_id), limit=LIMIT_MAX)
    yield Query(keys.issued(), index="gsi1", prefix=keys.issued_to(user_id, ""), limit=LIMIT_MAX)
    links, values = provider_keys.external_identity("").sort, {"user": user_id}
    yield Query("", prefix=links, limit=LIMIT_MAX, where="#user_id = :user", values=values)


def _list(table: TenantTable, query: Query) -> Iterator[Key]:
    while True:
        page = table.query_keys(query)
        yield from page.items
        if page.position is None:
            return
        query = replace(query, position=page.position)
