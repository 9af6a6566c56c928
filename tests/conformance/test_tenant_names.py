"""Concurrent creation, renaming and deletion of tenants, on DynamoDB Local. Each name belongs to one tenant."""

import random
from concurrent.futures import ThreadPoolExecutor

from atrium.kernel.clock import read_clock
from atrium.kernel.errors import Conflict, NotFound, Unavailable
from atrium.kernel.pagination import PageRequest
from atrium.storage.table import PhysicalTable, PlatformTable, TenantTable
from atrium.tenants.model import Tenant
from atrium.tenants.registry import TenantRegistry
from atrium.tenants.service import TenantFields, TenantService

THREADS = 16
NAMES = ("acme", "globex", "initech")


def open_service(table: PhysicalTable) -> TenantService:
    return TenantService(PlatformTable(table), lambda tenant_id: TenantTable(table, tenant_id), read_clock)


def list_all(service: TenantService) -> list[Tenant]:
    return service.list(PageRequest(limit=100)).items


def test_one_of_many_creations_wins(dynamodb_table: PhysicalTable) -> None:
    service = open_service(dynamodb_table)

    def create(_: int) -> bool:
        try:
            service.close(service.open(TenantFields("acme", "pro")), [])
        except (Conflict, Unavailable):  # Unavailable: two transactions conflicted
            return False
        return True

    with ThreadPoolExecutor(THREADS) as pool:
        won = sum(pool.map(create, range(THREADS * 4)))
    assert won == 1
    assert [tenant.name for tenant in list_all(service)] == ["acme"]


def test_concurrent_changes_leave_each_name_to_one_tenant(dynamodb_table: PhysicalTable) -> None:
    service = open_service(dynamodb_table)
    for number in range(3):
        service.close(service.open(TenantFields(f"tenant-{number}", "pro")), [])

    def act(seed: int) -> None:
        choice = random.Random(seed)
        name, tenants = choice.choice(NAMES), list_all(service)
        try:
            match choice.randrange(4):
                case 0:
                    service.close(service.open(TenantFields(name, "pro")), [])
                case 1 if len(tenants) > 2:
                    service.delete(choice.choice(tenants).id)
                case _ if tenants:
                    service.change(choice.choice(tenants).id, {"name": name})
        except (Conflict, NotFound, Unavailable):
            return

    for round_number in range(4):
        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(act, range(round_number * 100, round_number * 100 + 60)))
        tenants = list_all(service)
        names = [tenant.name for tenant in tenants]
        assert len(set(names)) == len(names), names
        registry = TenantRegistry(PlatformTable(dynamodb_table))
        for tenant in tenants:
            marker = registry.find(tenant.name)
            assert marker is not None
            assert marker.tenant_id == tenant.id
