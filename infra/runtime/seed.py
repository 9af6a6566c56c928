"""Seeds a deployment with the objects that tests/events use: two tenants, each with an agent and a session, and keys.

The objects have fixed ids and are written with the stores of the core layer. The keys are public: use them only on this
machine. Seeding is idempotent.
"""

from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from atrium.agent.service import default_agent
from atrium.agent.store import AgentStore
from atrium.identity.key_format import parse_key, show_prefix
from atrium.identity.keys.model import ApiKey
from atrium.identity.keys.store import KeyStore
from atrium.identity.scopes import PLATFORM, TENANT_SCOPES
from atrium.kernel.errors import ConditionFailed, Conflict
from atrium.kernel.ids import AgentId, SessionId, TenantId
from atrium.sessions.model import Session
from atrium.sessions.store import SessionStore
from atrium.storage.secrets import Pepper
from atrium.storage.table import PhysicalTable, PlatformTable, TenantTable
from atrium.tenants.model import Tenant
from atrium.tenants.registry import TenantRegistry
from atrium.tenants.store import TenantStore

SEEDED_AT = datetime(2026, 11, 1, 9, 0, tzinfo=UTC)
TENANT_KEY = "atr_dev_0Cl47FVwhtkluooO4s7Jgcgs0a8cLxwH6WIPRvpmMSKv78XrcpJ5Umivyg9xGbrnVCHKRoa7IHQNuEnMiu"
PLATFORM_KEY = "atr_dev_0Cl47FVwhtkluooO4s7JgciUFnN5wMx1SUPBDTT1r5sqwoQkuOBwIAfvio3bCbWSYgJ7mm0bOmiLCSqx2E"
_OPENING = "seed"


@dataclass(frozen=True)
class Seeded:
    """A tenant that the events use. `owner` is the id of the API key that owns the tenant's session."""

    id: TenantId
    name: str
    agent_id: AgentId
    session_id: SessionId
    owner: str


EVENTS_TENANT = Seeded(
    id=TenantId("ten_01m6b5cjm0cnv6avkmec000001"),
    name="events",
    agent_id=AgentId("agt_01m6b5cjm0cnv6avkmec000004"),
    session_id=SessionId("ses_01m6b5cjm0cnv6avkmec000005"),
    owner="key_01m6b5cjm0cnv6avkmec000002",
)
OTHER_TENANT = Seeded(
    id=TenantId("ten_01m6b5cjm0cnv6avkmec000035"),
    name="events-other",
    agent_id=AgentId("agt_01m6b5cjm0cnv6avkmec000038"),
    session_id=SessionId("ses_01m6b5cjm0cnv6avkmec000039"),
    owner="key_01m6b5cjm0cnv6avkmec000036",
)


def seed(table: PhysicalTable, pepper: Pepper) -> None:
    """Seed a table. The keys are hashed with `pepper`, the deployment's current pepper."""
    for tenant in (EVENTS_TENANT, OTHER_TENANT):
        _seed_tenant(table, tenant)
    for text, scopes in ((TENANT_KEY, TENANT_SCOPES), (PLATFORM_KEY, (PLATFORM,))):
        _seed_key(table, text, scopes, pepper)


def _seed_key(physical: PhysicalTable, text: str, scopes: tuple[str, ...], pepper: Pepper) -> None:
    said = parse_key(text, "dev")
    if said is None:
        raise ValueError("not a key of this environment")
    key = ApiKey(
        id=said.key_id,
        tenant_id=said.tenant_id,
        name="events",
        scopes=scopes,
        prefix=show_prefix(text),
        digest=said.digest(pepper.value),
        pepper_version=pepper.version,
        created_at=SEEDED_AT,
        updated_at=SEEDED_AT,
    )
    table = TenantTable(physical, said.tenant_id) if said.tenant_id else PlatformTable(physical)
    KeyStore(table).create(key)


def _seed_tenant(physical: PhysicalTable, seeded: Seeded) -> None:
    table = TenantTable(physical, seeded.id)
    registry = TenantRegistry(PlatformTable(physical))
    registry.claim(seeded.name, seeded.id, replacing=None, registered_at=SEEDED_AT)
    store = TenantStore(table)
    try:
        store.open(_tenant(seeded))
    except ConditionFailed:  # it already exists
        return
    agent = replace(default_agent(lambda: SEEDED_AT), id=seeded.agent_id)
    with suppress(Conflict, ConditionFailed):  # a previous run created it before it was interrupted
        AgentStore(table).create(agent, make_default=True)
    with suppress(Conflict, ConditionFailed):
        SessionStore(table).create(_session(seeded))
    table.transact([store.closing(_OPENING)])


def _tenant(seeded: Seeded) -> Tenant:
    return Tenant(
        id=seeded.id,
        name=seeded.name,
        display_name=seeded.name,
        plan="pro",
        status="active",
        created_at=SEEDED_AT,
        updated_at=SEEDED_AT,
        opening=_OPENING,
    )


def _session(seeded: Seeded) -> Session:
    return Session(
        id=seeded.session_id,
        owner=seeded.owner,
        title="Of the events",
        agent_id=seeded.agent_id,
        end_user="",
        metadata={},
        message_count=0,
        turn_count=0,
        created_at=SEEDED_AT,
        updated_at=SEEDED_AT,
        last_active_at=SEEDED_AT,
    )
