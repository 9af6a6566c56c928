"""Where the limits of a user, key or agent are counted, seen to when they are set (`atrium.quotas.residents`)."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from atrium.bootstrap import Runtime
from atrium.quotas.changing import deal_again
from atrium.quotas.residents import settle_in
from atrium.tenants.context import TenantContext


def count_limits(runtime: Runtime, tenant: TenantContext, subject_id: str, limits: Mapping[str, Any] | None) -> None:
    """Give somebody who was just made with limits its place; nobody knows it yet."""
    settle_in(runtime.tenant_table(tenant.tenant_id), subject_id, limits)


@contextmanager
def changing_limits(
    runtime: Runtime, tenant: TenantContext, subject_id: str, fields: Mapping[str, Any]
) -> Iterator[None]:
    """See to the place before limits are changed, and to what each of several items has left after it."""
    table = runtime.tenant_table(tenant.tenant_id)
    settle_in(table, subject_id, fields.get("limits"))
    yield
    if "limits" in fields:
        deal_again(table, subject_id)
