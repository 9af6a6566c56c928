"""Starts usage counters for users, API keys and agents that get their first limits (`atrium.quotas.changes`)."""

from collections.abc import Mapping

from atrium.bootstrap import Runtime
from atrium.quotas.changes import begin_counting
from atrium.tenants.context import TenantContext


def limits_changed(
    runtime: Runtime, tenant: TenantContext, scope_id: str, before: Mapping[str, int], after: Mapping[str, int]
) -> None:
    """Start the counters of a scope that gets its first limits. A rebuild adds earlier usage some seconds later."""
    if after and not before:
        begin_counting(runtime.tenant_table(tenant.tenant_id), runtime.clock, scope_id)
