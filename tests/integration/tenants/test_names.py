"""Tenant names are unique despite interruptions and concurrent calls."""

from collections.abc import Callable
from typing import Any

import pytest
from atrium.kernel.errors import Conflict, NotFound
from atrium.kernel.pagination import PageRequest
from atrium.tenants.model import Tenant, same_name
from atrium.tenants.registry import TenantRegistry
from atrium.tenants.service import TenantFields

from tests.builders.deployments import Broken, Deployment, breaking, counting


def create(deployment: Deployment, name: str) -> Tenant:
    service = deployment.tenants
    return service.close(service.open(TenantFields(name, "pro")), [])


def names(deployment: Deployment) -> list[str]:
    return [tenant.name for tenant in deployment.tenants.list(PageRequest()).items]


@pytest.mark.parametrize("other", ["acme", "ACME", "Ａｃｍｅ"])
def test_a_name_is_given_once(deployment: Deployment, other: str) -> None:
    create(deployment, "Acme")
    with pytest.raises(Conflict):
        create(deployment, other)
    assert names(deployment) == ["Acme"]


def test_a_deleted_tenants_name_is_free_and_its_id_is_not(deployment: Deployment) -> None:
    first = create(deployment, "acme")
    deployment.tenants.delete(first.id)
    second = create(deployment, "acme")
    assert second.id != first.id
    with pytest.raises(NotFound):
        deployment.tenants.get(first.id)
    assert names(deployment) == ["acme"]


def test_renaming_frees_the_old_name(deployment: Deployment) -> None:
    tenant = create(deployment, "acme")
    renamed = deployment.tenants.change(tenant.id, {"name": "globex", "plan": "free"})
    assert (renamed.name, renamed.plan) == ("globex", "free")
    other = create(deployment, "acme")
    with pytest.raises(Conflict):
        deployment.tenants.change(other.id, {"name": "Globex"})
    assert sorted(names(deployment)) == ["acme", "globex"]


def test_another_spelling_of_the_own_name_is_no_renaming(deployment: Deployment) -> None:
    tenant = create(deployment, "acme")
    with counting(deployment.table) as calls:
        assert deployment.tenants.change(tenant.id, {"name": "ACME"}).name == "ACME"
    assert calls == ["GetItem", "UpdateItem"]
    with pytest.raises(Conflict):
        create(deployment, "acme")


@pytest.mark.parametrize("again", ["acme", "ACME"])
def test_the_own_name_again_while_another_gets_it(deployment: Deployment, again: str) -> None:
    tenant = create(deployment, "acme")

    def intrude() -> None:
        stop()
        deployment.tenants.change(tenant.id, {"name": "globex"})
        create(deployment, "acme")

    stop = interposed(deployment, intrude, before="UpdateItem")
    try:
        assert deployment.tenants.change(tenant.id, {"name": again}).name == "globex"
    except Conflict:
        assert again == "ACME"
    assert sorted(names(deployment)) == ["acme", "globex"]
    assert _is_sound(deployment)


def _holder(deployment: Deployment, name: str) -> str | None:
    marker = TenantRegistry(deployment.runtime.platform_table).find(name)
    return marker.tenant_id if marker else None


@pytest.mark.parametrize("write", range(3))
def test_an_interrupted_renaming_does_not_block_a_name(deployment: Deployment, write: int) -> None:
    tenant = create(deployment, "acme")
    with breaking(deployment.table, write), pytest.raises(Broken):
        deployment.tenants.change(tenant.id, {"name": "globex"})
    now_called = deployment.tenants.get(tenant.id).name
    assert now_called == ("globex" if write == 2 else "acme")
    free = "acme" if now_called == "globex" else "globex"
    other = create(deployment, free)
    assert sorted(names(deployment)) == ["acme", "globex"]
    for name in ("acme", "globex"):
        with pytest.raises(Conflict):
            create(deployment, name)
    assert _holder(deployment, free) == other.id


def test_a_renaming_that_broke_off_can_be_made_again(deployment: Deployment) -> None:
    tenant = create(deployment, "acme")
    with breaking(deployment.table, 1), pytest.raises(Broken):
        deployment.tenants.change(tenant.id, {"name": "globex"})
    assert deployment.tenants.change(tenant.id, {"name": "globex"}).name == "globex"
    assert _holder(deployment, "globex") == tenant.id
    assert _holder(deployment, "acme") is None


@pytest.mark.parametrize("write", range(4))
def test_a_deletion_that_breaks_off_can_be_made_again(deployment: Deployment, write: int) -> None:
    tenant = create(deployment, "acme")
    with breaking(deployment.table, write), pytest.raises(Broken):
        deployment.tenants.delete(tenant.id)
    if write <= 1:
        deployment.tenants.delete(tenant.id)
    else:
        with pytest.raises(NotFound):
            deployment.tenants.delete(tenant.id)
    assert names(deployment) == []
    assert _holder(deployment, "acme") is None
    assert create(deployment, "acme").id != tenant.id


def test_a_deletion_that_broke_off_does_not_keep_the_name(deployment: Deployment) -> None:
    tenant = create(deployment, "acme")
    with breaking(deployment.table, 2), pytest.raises(Broken):
        deployment.tenants.delete(tenant.id)
    assert create(deployment, "acme").id != tenant.id


def interposed(deployment: Deployment, act: Callable[[], Any], *, before: str, times: int = 1) -> Callable[[], None]:
    """Run `act` immediately before DynamoDB call number `times` of the operation `before`.

    Return a function that removes the hook.
    """
    left = [times]

    def happen(**_: object) -> None:
        left[0] -= 1
        if left[0] == 0:
            act()

    event = f"before-call.dynamodb.{before}"
    deployment.table.client.meta.events.register(event, happen)
    return lambda: deployment.table.client.meta.events.unregister(event, happen)


def _is_sound(deployment: Deployment) -> bool:
    """Return whether all names are unique and each tenant has a marker."""
    tenants = deployment.tenants.list(PageRequest()).items
    called = [same_name(tenant.name) for tenant in tenants]
    return len(set(called)) == len(called) and all(_holder(deployment, t.name) == t.id for t in tenants)


@pytest.mark.parametrize("before", ["GetItem", "TransactWriteItems", "UpdateItem"])
@pytest.mark.parametrize("times", [1, 2])
def test_two_creations_at_once(deployment: Deployment, before: str, times: int) -> None:
    stop = interposed(deployment, lambda: create(deployment, "acme"), before=before, times=times)
    try:
        create(deployment, "acme")
    except Conflict:
        pass
    finally:
        stop()
    assert names(deployment) == ["acme"]
    assert _is_sound(deployment)


@pytest.mark.parametrize("before", ["GetItem", "TransactWriteItems", "UpdateItem", "DeleteItem"])
@pytest.mark.parametrize("times", [1, 2, 3])
@pytest.mark.parametrize("leftover", [True, False])
def test_a_renaming_and_a_creation_at_once(deployment: Deployment, before: str, times: int, leftover: bool) -> None:
    tenant = create(deployment, "acme")
    if leftover:  # an interrupted renaming has already claimed the new name
        with breaking(deployment.table, 1), pytest.raises(Broken):
            deployment.tenants.change(tenant.id, {"name": "globex"})

    def intrude() -> None:
        try:
            create(deployment, "globex")
        except Conflict:
            return

    stop = interposed(deployment, intrude, before=before, times=times)
    try:
        deployment.tenants.change(tenant.id, {"name": "globex"})
    except Conflict:
        pass
    finally:
        stop()
    assert names(deployment).count("globex") <= 1
    assert _is_sound(deployment)


@pytest.mark.parametrize("before", ["GetItem", "TransactWriteItems", "UpdateItem"])
@pytest.mark.parametrize("times", [1, 2, 3])
def test_a_creation_and_a_renaming_at_once(deployment: Deployment, before: str, times: int) -> None:
    tenant = create(deployment, "acme")
    with breaking(deployment.table, 1), pytest.raises(Broken):
        deployment.tenants.change(tenant.id, {"name": "globex"})

    def intrude() -> None:
        try:
            deployment.tenants.change(tenant.id, {"name": "globex"})
        except Conflict:
            return

    stop = interposed(deployment, intrude, before=before, times=times)
    try:
        create(deployment, "globex")
    except Conflict:
        pass
    finally:
        stop()
    assert names(deployment).count("globex") == 1
    assert _is_sound(deployment)


def test_a_renaming_there_and_one_back_at_once(deployment: Deployment) -> None:
    tenant = create(deployment, "acme")
    stop = interposed(deployment, lambda: deployment.tenants.change(tenant.id, {"name": "acme"}), before="DeleteItem")
    deployment.tenants.change(tenant.id, {"name": "globex"})
    stop()
    assert names(deployment) == ["acme"]
    assert _is_sound(deployment)


def test_gives_up_on_a_contended_name(deployment: Deployment) -> None:
    others = [create(deployment, f"other-{number}") for number in range(10)]
    registry = TenantRegistry(deployment.runtime.platform_table)
    fights: list[str] = []

    def fight(**_: object) -> None:
        """Claim the name for another tenant immediately before the current claim."""
        stop()
        tenant_id = others[len(fights)].id
        fights.append(tenant_id)
        assert registry.claim("acme", tenant_id, replacing=registry.find("acme"))
        start()

    def start() -> None:
        deployment.table.client.meta.events.register("before-call.dynamodb.TransactWriteItems", fight)

    def stop() -> None:
        deployment.table.client.meta.events.unregister("before-call.dynamodb.TransactWriteItems", fight)

    start()
    with pytest.raises(Conflict):
        deployment.tenants.open(TenantFields("acme", "pro"))
    stop()
    assert len(fights) == 4
