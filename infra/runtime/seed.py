"""Puts into an empty deployment what the events of tests/events know: two tenants, each with agent and session.

Made by the domain's own stores, under fixed ids. Running it again changes nothing.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from atrium.agent.service import default_agent
from atrium.agent.store import AgentStore
from atrium.kernel.errors import ConditionFailed, Conflict
from atrium.kernel.ids import AgentId, SessionId, TenantId
from atrium.sessions.model import Session
from atrium.sessions.store import SessionStore
from atrium.storage.table import PhysicalTable, PlatformTable, TenantTable
from atrium.tenants.model import Tenant
from atrium.tenants.registry import TenantRegistry
from atrium.tenants.store import TenantStore

from infra.runtime.resources import Endpoint

SEEDED_AT = datetime(2026, 11, 1, 9, 0, tzinfo=UTC)
_OPENING = "seed"


@dataclass(frozen=True)
class Seeded:
    """A tenant of the events; `key` is the text of its API key, None where no event uses one."""

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


def seed(endpoint: Endpoint, attributes: Mapping[str, Mapping[str, str]]) -> None:
    """Seed the table and the secrets that `attributes` name by the template's logical ids."""
    table = PhysicalTable(endpoint.client("dynamodb"), attributes["Table"]["Ref"])
    for tenant in (EVENTS_TENANT, OTHER_TENANT):
        _seed_tenant(table, tenant)
    _fill_model_secret(endpoint.client("secretsmanager"), attributes["ModelSecret"]["Ref"])


def _seed_tenant(physical: PhysicalTable, seeded: Seeded) -> None:
    table = TenantTable(physical, seeded.id)
    TenantRegistry(PlatformTable(physical)).claim(seeded.name, seeded.id, replacing=None, registered_at=SEEDED_AT)
    store = TenantStore(table)
    try:
        store.open(_tenant(seeded))
    except ConditionFailed:
        return
    agent = replace(default_agent(lambda: SEEDED_AT), id=seeded.agent_id)
    try:
        AgentStore(table).create(agent, make_default=True)
        SessionStore(table).create(_session(seeded))
    except (Conflict, ConditionFailed):  # an earlier run broke off here
        pass
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


def _fill_model_secret(client: Any, arn: str) -> None:
    client.put_secret_value(SecretId=arn, SecretString=json.dumps({"anthropic_api_key": "for the model server"}))
