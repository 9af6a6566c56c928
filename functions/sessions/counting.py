"""Counts a new session against the limits. The limits and the session's agent are read in one batch."""

from dataclasses import dataclass
from typing import Self

from atrium.agent.context import LimitedRead, read_limited
from atrium.agent.store import read_agent
from atrium.bootstrap import Runtime
from atrium.kernel.errors import NotFound
from atrium.kernel.ids import AgentId, SessionId, is_id
from atrium.quotas.model import Recorded, Rejected, ScopeLimits
from atrium.quotas.service import QuotaService
from atrium.storage import keys
from atrium.storage.writes import Put
from atrium.tenants.context import TenantContext


@dataclass(frozen=True, slots=True)
class SessionCounting:
    """The limits that apply to a new session: limits of the tenant, of the caller, and of the agent if there is one."""

    quotas: QuotaService
    limited: LimitedRead
    agent_id: AgentId | None

    @classmethod
    def read(cls, runtime: Runtime, context: TenantContext, agent_id: str | None) -> Self:
        """Read the limits. Raises `NotFound` if the tenant does not have the agent."""
        wanted = AgentId(agent_id) if agent_id is not None and is_id(agent_id, "agt") else None
        table = runtime.tenant_table(context.tenant_id)
        limited = read_limited(context, table, runtime.clock, wanted)
        if agent_id is not None and (wanted is None or keys.agent(wanted) not in limited.found):
            raise NotFound("Agent not found.")
        return cls(QuotaService(table, runtime.clock), limited, wanted)

    def rejection(self) -> Rejected | None:
        """Return the rejection of the session, as far as it is known before the session is counted."""
        scopes = self._scopes()
        return self.quotas.reject_session(scopes, self.limited.items(self.quotas.table, scopes))

    def record(self, session_id: SessionId, record: Put) -> Recorded | Rejected:
        """Write the session's record and increment the counters, in one transaction."""
        scopes = self._scopes()
        return self.quotas.record_session(session_id, record, scopes, self.limited.items(self.quotas.table, scopes))

    def _scopes(self) -> tuple[ScopeLimits, ...]:
        item = self.limited.found.get(keys.agent(self.agent_id)) if self.agent_id else None
        return self.limited.scopes(read_agent(item) if item else None)
