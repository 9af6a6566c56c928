"""What a turn needs to know before it is opened, read in one parallel wave: tenant, agent, session, history."""

from collections.abc import Mapping, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from atrium.agent.history import RUNS_READ
from atrium.agent.model import AgentConfig
from atrium.agent.request import TurnRequest
from atrium.agent.store import AgentStore
from atrium.agent.wave import Admission, Wave
from atrium.kernel.errors import ModelNotAllowed, NotFound, ProviderUnsupported, invalid_field
from atrium.kernel.ids import AgentId, SessionId, TenantId, is_id, own_ulid
from atrium.kernel.pagination import PageRequest
from atrium.llm.catalogue import NANOS_PER_USD, ModelInfo, find_model
from atrium.policy.guard import PolicyGuard
from atrium.quotas.model import Subject
from atrium.quotas.terms import CEILING_DEFAULT, Terms
from atrium.runs.model import Run
from atrium.runs.store import RunStore
from atrium.sessions.model import Session
from atrium.sessions.store import SessionStore
from atrium.tenants.context import TenantContext
from atrium.tenants.plans import PLANS

type DefaultAgents = MutableMapping[TenantId, AgentId]


@dataclass(frozen=True, slots=True)
class Resolved:
    """Everything that was read, checked against what the caller may use. `runs` are the session's, newest first.

    `terms` and `subjects` are the limits that the turn is under, `admission` the items in which they are counted.
    """

    agent: AgentConfig
    model: ModelInfo
    session: Session | None
    runs: tuple[Run, ...]
    terms: Terms
    subjects: tuple[Subject, ...]
    admission: Admission = ()


@dataclass(frozen=True, slots=True)
class Resolver:
    """Reads for one caller's turn. `default_agents` is a memory of the process: a guess, checked by each read."""

    context: TenantContext
    agents: AgentStore
    sessions: SessionStore
    runs: RunStore
    default_agents: DefaultAgents
    guard: PolicyGuard
    ceiling: int = CEILING_DEFAULT

    def resolve(self, request: TurnRequest) -> Resolved:
        """Return what the turn needs: one batch and, in a known session, one query beside it.

        `NotFound`, `ModelNotAllowed`, `PolicyDenied`, `ProviderUnsupported`, `ValidationFailed`.
        """
        wanted_agent, session_id = checked_ids(request)
        guess = wanted_agent or self.default_agents.get(self.context.tenant_id)
        wave = Wave(self.context, guess, session_id)
        with ThreadPoolExecutor(1, thread_name_prefix="resolve") as pool:
            history = pool.submit(self.read_history, session_id) if session_id else None
            read = wave.read(self.agents.table)
            runs = history.result() if history else ()
        session = read.session
        if session_id and (session is None or not self._may_see(session)):
            raise NotFound("there is no such session")
        agent = self._choose(wanted_agent, session, read.tenant, read.agent)
        if session and not _is_fresh(session, runs):
            runs = self.read_history(session.id)
        model = self._admit_model(agent, request)
        return Resolved(agent, model, session, runs, read.terms(self.ceiling), read.subjects(agent), read.admission)

    def read_history(self, session_id: SessionId) -> tuple[Run, ...]:
        page = PageRequest(RUNS_READ)
        return tuple(self.runs.list_by_session(session_id, page, newest_first=True).items)

    def _admit_model(self, agent: AgentConfig, request: TurnRequest) -> ModelInfo:
        """Return the turn's model, if plan and policies let the caller use it; the audit hears of it if not."""
        session_id, limit = request.session_id or "", request.limits.max_cost_nanos
        try:
            model = choose_model(self.context, agent, request)
        except ModelNotAllowed as refusal:
            details = {"model": request.model or agent.model, "agent_id": agent.id, "reason": refusal.detail}
            self.guard.audit.record("model.refuse", details, session_id=session_id, end_user=request.end_user)
            raise
        amount = None if limit is None else Decimal(limit) / NANOS_PER_USD
        self.guard.require_permission(f"model:{model.id}", amount=amount, session_id=session_id)
        return model

    def _may_see(self, session: Session) -> bool:
        return session.owner == self.context.owner or self.context.principal.sees_all

    def _choose(
        self, wanted: AgentId | None, session: Session | None, tenant: Mapping[str, Any], read: AgentConfig | None
    ) -> AgentConfig:
        """Return the agent: the caller's choice, else the session's, else the default.

        A session whose agent was deleted is not answered by another one unasked.
        """
        agent = self._read_agent(wanted or (session.agent_id if session else None) or self._default(tenant), read)
        if agent is None and wanted is None and session and session.agent_id:
            raise NotFound("the session's agent was deleted; give the session another agent_id, or null")
        if agent is None:
            raise NotFound("there is no such agent")
        return agent

    def _read_agent(self, agent_id: AgentId, read: AgentConfig | None) -> AgentConfig | None:
        return read if read and read.id == agent_id else self.agents.get(agent_id)

    def _default(self, tenant: Mapping[str, Any]) -> AgentId:
        default = tenant.get("default_agent_id")
        if not default:
            raise NotFound("the tenant has no default agent; create one, or name an agent_id")
        self.default_agents[self.context.tenant_id] = AgentId(default)
        return AgentId(default)


def checked_ids(request: TurnRequest) -> tuple[AgentId | None, SessionId | None]:
    if request.agent_id is not None and not is_id(request.agent_id, "agt"):
        raise NotFound("there is no such agent")
    if request.session_id is not None and not is_id(request.session_id, "ses"):
        raise NotFound("there is no such session")
    agent_id = AgentId(request.agent_id) if request.agent_id else None
    return agent_id, SessionId(request.session_id) if request.session_id else None


def _is_fresh(session: Session, runs: tuple[Run, ...]) -> bool:
    """Tell whether the history was read no earlier than the head's last turn ended."""
    newest = own_ulid(runs[0].id) if runs else ""
    return session.turn is not None or (newest == session.last_run_ulid and not (runs and runs[0].is_open))


def choose_model(context: TenantContext, agent: AgentConfig, request: TurnRequest) -> ModelInfo:
    """Return the model of a turn: the caller's choice, or the agent's; checked against plan and provider."""
    return check_model(context, request.provider, request.model or agent.model, agent.temperature is not None)


def check_model(context: TenantContext, provider: str | None, model: str, has_temperature: bool) -> ModelInfo:
    """Return a model that the tenant may use; `ModelNotAllowed`, `ProviderUnsupported`, `ValidationFailed`."""
    entry = find_model(model)
    if entry is None:
        raise invalid_field("model", "is not in the catalogue of models")
    if provider is not None and provider != entry.vendor:
        raise ProviderUnsupported(f"the model {entry.id} is not served by that provider")
    if entry.size not in PLANS[context.plan].models:
        raise ModelNotAllowed(f"the plan {context.plan} does not include the model {entry.id}")
    if has_temperature and not entry.accepts_temperature:
        raise invalid_field("temperature", f"the model {entry.id} takes no temperature")
    return entry
