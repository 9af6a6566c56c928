"""Limits on audited rejections: one event per kind and minute, a maximum per tenant, and a maximum per process."""

from datetime import timedelta

from atrium.audit.bound import AT_ALL_MAX, OF_TENANT_MAX, RefusalBound
from atrium.kernel.ids import TenantId

from tests.builders.runtimes import NOON

ACME, GLOBEX = TenantId("ten_acme"), TenantId("ten_globex")


def test_records_a_refusal_once_a_minute() -> None:
    bound = RefusalBound()
    assert bound.admits(ACME, "a", NOON)
    assert not bound.admits(ACME, "a", NOON + timedelta(seconds=59))
    assert bound.admits(ACME, "b", NOON)
    assert bound.admits(GLOBEX, "a", NOON)
    assert bound.admits(ACME, "a", NOON + timedelta(seconds=60))


def test_bounds_a_tenants_refusals_without_affecting_others() -> None:
    bound = RefusalBound()
    assert sum(bound.admits(ACME, str(at), NOON) for at in range(10_000)) == OF_TENANT_MAX
    assert bound.admits(GLOBEX, "a", NOON)


def test_bounds_the_refusals_of_all_tenants_of_a_process() -> None:
    bound = RefusalBound()
    told = [bound.admits(TenantId(f"ten_{at}"), "a", NOON) for at in range(10_000)]
    assert sum(told) == AT_ALL_MAX
    assert bound.admits(ACME, "a", NOON + timedelta(minutes=1))


def test_records_a_refusal_later_if_it_could_not_be_recorded() -> None:
    bound = RefusalBound()
    assert bound.admits(ACME, "a", NOON)
    bound.forget(ACME, "a")
    assert bound.admits(ACME, "a", NOON)
