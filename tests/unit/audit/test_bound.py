"""How many refusals are told: one of a kind in a minute, so many of a tenant, so many at all."""

from datetime import timedelta

from atrium.audit.bound import AT_ALL_MAX, OF_TENANT_MAX, RefusalBound
from atrium.kernel.ids import TenantId

from tests.builders.runtimes import NOON

ACME, GLOBEX = TenantId("ten_acme"), TenantId("ten_globex")


def test_one_of_a_kind_in_a_minute() -> None:
    bound = RefusalBound()
    assert bound.admits(ACME, "a", NOON)
    assert not bound.admits(ACME, "a", NOON + timedelta(seconds=59))
    assert bound.admits(ACME, "b", NOON)
    assert bound.admits(GLOBEX, "a", NOON)
    assert bound.admits(ACME, "a", NOON + timedelta(seconds=60))


def test_a_flood_ends_and_others_are_still_told_of() -> None:
    bound = RefusalBound()
    assert sum(bound.admits(ACME, str(at), NOON) for at in range(10_000)) == OF_TENANT_MAX
    assert bound.admits(GLOBEX, "a", NOON)


def test_many_tenants_at_once_end_at_the_process() -> None:
    bound = RefusalBound()
    told = [bound.admits(TenantId(f"ten_{at}"), "a", NOON) for at in range(10_000)]
    assert sum(told) == AT_ALL_MAX
    assert bound.admits(ACME, "a", NOON + timedelta(minutes=1))


def test_what_could_not_be_told_is_told_the_next_time() -> None:
    bound = RefusalBound()
    assert bound.admits(ACME, "a", NOON)
    bound.forget(ACME, "a")
    assert bound.admits(ACME, "a", NOON)
