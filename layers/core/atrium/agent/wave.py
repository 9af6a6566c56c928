"""The batch that a turn begins with: tenant, agent, the caller's own item, session, and the tenant's admission."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from atrium.agent.model import AgentConfig
from atrium.agent.store import read_agent
from atrium.kernel.errors import NotFound
from atrium.kernel.ids import AgentId, SessionId
from atrium.quotas.limits import read_limits
from atrium.quotas.model import Subject
from atrium.quotas.residents import is_apart
from atrium.quotas.subjects import place_of, subject_of
from atrium.quotas.terms import Terms, read_terms
from atrium.sessions.model import Session
from atrium.sessions.store import read_session
from atrium.storage import keys
from atrium.storage.table import TenantTable
from atrium.tenants.context import TenantContext

type Admission = tuple[Mapping[str, Any] | None, ...]
"""The items of a tenant's shards, as they were read."""


@dataclass(frozen=True, slots=True)
class Wave:
    """What is asked for. `agent_id` may be a guess; so is how many shards there are, from the plan as it is known."""

    context: TenantContext
    agent_id: AgentId | None
    session_id: SessionId | None

    def read(self, table: TenantTable) -> "WaveRead":
        """Read it all in one call; `NotFound` where the tenant is gone."""
        places = {
            "tenant": keys.tenant(),
            "agent": keys.agent(self.agent_id) if self.agent_id else None,
            "principal": place_of(self.context.principal),
            "session": keys.session(self.session_id) if self.session_id else None,
        }
        shards = self._guess_shards()
        wanted = [place for place in places.values() if place is not None]
        wanted += [keys.admission(shard) for shard in range(shards)]
        found = table.batch_get(wanted)
        if keys.tenant() not in found:
            raise NotFound("there is no such tenant")
        items = {name: found.get(place) if place else None for name, place in places.items()}
        return WaveRead(self.context, items, tuple(found.get(keys.admission(shard)) for shard in range(shards)))

    def _guess_shards(self) -> int:
        terms = read_terms({"plan": self.context.plan})
        return terms.shards if terms.limits_turns else 0


@dataclass(frozen=True, slots=True)
class WaveRead:
    """What was there."""

    context: TenantContext
    items: Mapping[str, Mapping[str, Any] | None]
    admission: Admission

    @property
    def tenant(self) -> Mapping[str, Any]:
        return self.items["tenant"] or {}

    @property
    def agent(self) -> AgentConfig | None:
        item = self.items["agent"]
        return read_agent(item) if item else None

    @property
    def session(self) -> Session | None:
        item = self.items["session"]
        session = read_session(item) if item else None
        return session if session and not session.is_deleted else None

    def terms(self, ceiling: int) -> Terms:
        return read_terms(self.tenant, ceiling)

    def subjects(self, agent: AgentConfig | None) -> tuple[Subject, ...]:
        """Return the caller and the agent, where there is one: those that have limits of their own."""
        caller = subject_of(self.context.principal, self.items["principal"], self.tenant)
        own = read_limits({"limits": agent.limits}) if agent else {}
        found = [caller] if caller else []
        if agent is None or not own:
            return tuple(found)
        return (*found, Subject("agent", agent.id, own, is_apart(self.tenant, agent.id)))
