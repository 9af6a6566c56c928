"""Seeding is idempotent and creates the resources that the events name."""

from atrium.agent.store import AgentStore
from atrium.identity.keys.store import KeyStore
from atrium.kernel.ids import KeyId
from atrium.kernel.pagination import PageRequest
from atrium.sessions.store import SessionStore
from atrium.storage.secrets import Pepper
from atrium.storage.table import PhysicalTable, PlatformTable, TenantTable
from atrium.tenants.registry import TenantRegistry
from atrium.tenants.store import TenantStore

from infra.runtime.seed import EVENTS_TENANT, OTHER_TENANT, PLATFORM_KEY, TENANT_KEY, seed
from tests.artifacts.running import list_events, read_event

PEPPER = Pepper(3, b"a pepper of thirty-two bytes    ")


def test_seeding_again_changes_nothing(physical_table: PhysicalTable) -> None:
    client, name = physical_table.client, physical_table.name
    seed(physical_table, PEPPER)
    before = client.scan(TableName=name)["Items"]
    seed(physical_table, PEPPER)
    assert client.scan(TableName=name)["Items"] == before


def test_tenant_can_work_and_is_listed(physical_table: PhysicalTable) -> None:
    seed(physical_table, PEPPER)
    table = TenantTable(physical_table, EVENTS_TENANT.id)
    tenant = TenantStore(table).get()
    assert tenant is not None
    assert (tenant.is_active, tenant.default_agent_id) == (True, EVENTS_TENANT.agent_id)
    assert AgentStore(table).get(EVENTS_TENANT.agent_id) is not None
    session = SessionStore(table).get(EVENTS_TENANT.session_id)
    assert session is not None
    assert session.owner == EVENTS_TENANT.owner
    listed = TenantRegistry(PlatformTable(physical_table)).list(PageRequest(10)).items
    assert listed == [EVENTS_TENANT.id, OTHER_TENANT.id]


def test_keys_are_stored_without_their_text(physical_table: PhysicalTable) -> None:
    seed(physical_table, PEPPER)
    key = KeyStore(TenantTable(physical_table, EVENTS_TENANT.id)).get(KeyId(EVENTS_TENANT.owner))
    assert key is not None
    assert (key.pepper_version, key.name) == (3, "events")
    assert TENANT_KEY not in str(physical_table.client.scan(TableName=physical_table.name))


def test_events_send_the_seeded_keys_and_no_other() -> None:
    sent = {
        value.removeprefix("Bearer ")
        for name in list_events()
        for header, value in read_event(name).get("headers", {}).items()
        if header.lower() in {"authorization", "x-api-key"}
    }
    assert {TENANT_KEY, PLATFORM_KEY} < sent
    assert len([key for key in sent if key.startswith("atr_")]) == 3  # the third key has a deliberate typing error
