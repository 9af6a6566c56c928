"""A tenant's agents. Names are unique, one agent is the default, and the plan limits the models."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from atrium.agent.context import check_model
from atrium.agent.model import AUTO_MODEL, AgentConfig
from atrium.agent.store import AgentStore
from atrium.audit.service import AuditService
from atrium.kernel.clock import Clock
from atrium.kernel.errors import NotFound, invalid_field, list_valid
from atrium.kernel.ids import AgentId, PromptId, is_id, mint_agent_id
from atrium.kernel.pagination import Page, PageRequest, read_all
from atrium.llm.catalogue import DEFAULT_MODEL, MODELS
from atrium.prompts.model import Prompt, PromptFault, PromptReference, PromptVersion
from atrium.prompts.shipped import find_shipped
from atrium.prompts.store import PromptStore
from atrium.quotas.limits import read_limits, resolve_limits
from atrium.storage.writes import Put
from atrium.tenants.context import TenantContext
from atrium.tools.calculator import CALCULATOR
from atrium.tools.clock import CURRENT_TIME
from atrium.tools.http.store import HttpToolStore
from atrium.tools.model import Tool
from atrium.tools.registry import BUILT_IN

DEFAULT_AGENT_NAME = "assistant"


@dataclass(frozen=True, slots=True)
class AgentView:
    """An agent, and whether it is the tenant's default agent."""

    agent: AgentConfig
    is_default: bool


@dataclass(frozen=True, slots=True)
class AgentService:
    """Agent operations for one caller. `tools` are the built-in tools of the deployment. Routes check the scopes."""

    context: TenantContext
    store: AgentStore
    clock: Clock
    audit: AuditService
    tools: Sequence[Tool[Any]]

    def create(self, fields: Mapping[str, Any], *, is_default: bool) -> AgentView:
        """Create an agent. Raise `Conflict` (name in use), `ModelNotAllowed`, `ValidationFailed` or `CountExceeded`."""
        tenant, _ = self.store.get_with_tenant(None)
        maximum = resolve_limits(tenant["plan"], read_limits(tenant))["agents"]
        now = self.clock()
        agent = AgentConfig(
            **{"id": mint_agent_id(now), "provider": "", "created_at": now, "updated_at": now, **fields}
        )
        agent = self._checked(agent)
        self.store.create(agent, self._record("agent.create", agent), make_default=is_default, maximum=maximum)
        return AgentView(agent, is_default)

    def get(self, agent_id: str) -> AgentView:
        if not is_id(agent_id, "agt"):
            raise NotFound("Agent not found.")
        tenant, agent = self.store.get_with_tenant(AgentId(agent_id))
        if agent is None:
            raise NotFound("Agent not found.")
        return AgentView(agent, tenant.get("default_agent_id") == agent.id)

    def list(self, page: PageRequest) -> Page[AgentView]:
        tenant, _ = self.store.get_with_tenant(None)
        default = tenant.get("default_agent_id")
        return self.store.list(page).map(lambda agent: AgentView(agent, agent.id == default))

    def change(self, agent_id: str, fields: Mapping[str, Any], *, is_default: bool | None) -> AgentView:
        """Change fields of an agent. `is_default` can only be set; to clear it, make another agent the default."""
        current = self.get(agent_id)
        if is_default is False and current.is_default:
            raise invalid_field("is_default", "cannot be cleared; make another agent the default instead")
        changed = self._checked(replace(current.agent, **fields, updated_at=self.clock()))
        make_default = is_default is True and not current.is_default
        record = self._record("agent.change", changed, fields=sorted(fields), is_default=is_default)
        self.store.replace(changed, record, before=current.agent, make_default=make_default)
        return AgentView(changed, current.is_default or make_default)

    def delete(self, agent_id: str) -> None:
        """Delete an agent. Raise `Conflict` if it is the default agent."""
        agent = self.get(agent_id).agent
        self.store.delete(agent, self._record("agent.delete", agent))

    def _record(self, action: str, agent: AgentConfig, **more: Any) -> Put:
        """Return the audit record of a change. It does not contain the prompt, which may be long and private."""
        details = {
            "name": agent.name,
            "model": agent.model,
            "fallback_models": list(agent.fallback_models),
            "tools": list(agent.tools),
            "prompt": (agent.prompt.name or agent.prompt.id) if agent.prompt else None,
            "require_approval": list(agent.require_approval),
            "limits": dict(agent.limits),
        }
        return self.audit.recording("admin.change", {"action": action, "resource": agent.id, **details, **more})

    def _checked(self, agent: AgentConfig) -> AgentConfig:
        self._check_tools(agent)
        if agent.prompt is not None:
            agent = replace(agent, prompt=self._checked_prompt(agent, agent.prompt))
        if not set(agent.require_approval) <= set(agent.tools):
            raise invalid_field("require_approval", "must contain only names that are in `tools`")
        if agent.model == AUTO_MODEL:
            return _checked_auto(agent)
        entry = check_model(self.context, agent.provider or None, agent.model, agent.temperature is not None)
        if agent.max_tokens > entry.output_tokens_max:
            raise invalid_field("max_tokens", f"must be at most {entry.output_tokens_max} for the model {entry.id}")
        for at, model in enumerate(agent.fallback_models):
            check_model(self.context, None, model, agent.temperature is not None, field=f"fallback_models[{at}]")
        if len({agent.model, *agent.fallback_models}) <= len(agent.fallback_models):
            raise invalid_field("fallback_models", "must differ from each other and from `model`")
        return replace(agent, provider=entry.vendor)

    def _checked_prompt(self, agent: AgentConfig, prompt: PromptReference) -> PromptReference:
        """Return the reference with the id of its prompt. The prompt is rendered once, so that faults appear here."""
        if agent.system_prompt:
            raise invalid_field("prompt", "must be absent or null if the agent has a `system_prompt`")
        store = PromptStore(self.store.table)
        if prompt.name:
            named = store.find(prompt.name)
            prompt = replace(prompt, id=named.id if named else PromptId(""))
        version = store.resolve(prompt) if prompt.id else None
        if version is None:
            raise invalid_field("prompt", "must be a prompt, and a version of it, that exists")
        try:
            _render_sample(agent, prompt, version)
        except PromptFault as fault:
            raise invalid_field("prompt", fault.message) from fault
        return prompt

    def _check_tools(self, agent: AgentConfig) -> None:
        """Check that the tools exist. Costs one batch read if the agent has HTTP tools."""
        known = [tool.name for tool in self.tools]
        own = set(agent.tools) - set(known)
        missing = sorted(own & {tool.name for tool in BUILT_IN})
        if missing:
            raise invalid_field(
                "tools", f"must not contain {list_valid(missing)}, which this deployment does not offer"
            )
        if own - HttpToolStore(self.store.table).find(sorted(own)).keys():
            raise invalid_field("tools", f"must contain only {list_valid(known)} and the names of the tenant's tools")


def _checked_auto(agent: AgentConfig) -> AgentConfig:
    """Return an agent whose turns are routed. The fields that depend on one model are rejected."""
    maximum = max(model.output_tokens_max for model in MODELS.values())
    if agent.provider not in ("", AUTO_MODEL):
        raise invalid_field("provider", f"must be absent or `{AUTO_MODEL}` for the model `{AUTO_MODEL}`")
    if agent.max_tokens > maximum:
        raise invalid_field("max_tokens", f"must be at most {maximum} for the model `{AUTO_MODEL}`")
    if agent.fallback_models:
        raise invalid_field("fallback_models", f"must be empty for `{AUTO_MODEL}`; the rule's other models are used")
    return replace(agent, provider=AUTO_MODEL)


def agents_naming(store: AgentStore, tool: str) -> list[str]:
    """Return the names of the agents that have a tool. Reads all agents of the tenant."""
    return [agent.name for agent in read_all(store.list) if tool in agent.tools]


def agents_needing(store: AgentStore, prompt: Prompt) -> list[str]:
    """Return the names of the agents that use a prompt and could not go on without it. Reads all agents of the tenant.

    An agent that names the prompt can go on with the shipped prompt of this name, if its variables fit.
    """
    return [agent.name for agent in read_all(store.list) if agent.prompt and _needs(agent, agent.prompt, prompt)]


def _needs(agent: AgentConfig, reference: PromptReference, prompt: Prompt) -> bool:
    if reference.name != prompt.name:
        return not reference.name and reference.id == prompt.id
    shipped = find_shipped(prompt.name)
    if shipped is None or reference.version not in (None, shipped.newest.version):
        return True
    try:
        _render_sample(agent, reference, shipped.newest)
    except PromptFault:
        return True
    return False


def _render_sample(agent: AgentConfig, reference: PromptReference, version: PromptVersion) -> None:
    """Render a version with an agent's variables. Raise `PromptFault` if the agent cannot use it."""
    from atrium.prompts.instructions import sample_values
    from atrium.prompts.turns import render_version

    render_version(version, reference.variables, sample_values(agent.name, agent.tools))


def default_agent(clock: Clock) -> AgentConfig:
    """Return the agent that is created for each new tenant. It has the default model and pure tools."""
    now = clock()
    return AgentConfig(
        id=mint_agent_id(now),
        name=DEFAULT_AGENT_NAME,
        provider="anthropic",
        model=DEFAULT_MODEL,
        created_at=now,
        updated_at=now,
        description="The agent that answers when a call names none.",
        system_prompt="You are a helpful assistant. Answer briefly and truthfully; use your tools where they help.",
        tools=(CALCULATOR.name, CURRENT_TIME.name),
    )
