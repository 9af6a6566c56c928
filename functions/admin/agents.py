"""`/v1/agents`: routes for a tenant's agents."""

from decimal import Decimal
from typing import Annotated, Any, Literal

from atrium.agent.model import INJECTIONS, MAX_ITERATIONS_DEFAULT, MAX_ITERATIONS_MAX, MAX_TOKENS_DEFAULT, Injection
from atrium.agent.service import AgentService, AgentView
from atrium.agent.store import AgentStore
from atrium.bootstrap import Runtime
from atrium.context.conversation import HISTORY_MESSAGES_MAX, HISTORY_TOKENS_MAX
from atrium.context.profiles import MESSAGES_KEPT
from atrium.http.dependencies import BaseUrlDep, PageDep, RuntimeDep, TenantDep, require
from atrium.http.fields import NOT_BLANK, OrNone, UniqueName
from atrium.http.idempotency import IdempotentRoute
from atrium.http.limits import ShownLimits, SubjectLimits
from atrium.http.models import FreeJson, ListOf, StrictModel, id_pattern
from atrium.http.pages import list_scope, page_request, render_page
from atrium.http.responses import problem_responses
from atrium.kernel.clock import format_time
from atrium.kernel.ids import PromptId
from atrium.llm.normalise import NAME_MAX
from atrium.llm.resilience import FALLBACKS_MAX
from atrium.prompts.model import VERSIONS_MAX, PromptReference
from atrium.quotas.limits import show_limits
from atrium.tenants.auditing import open_audit
from atrium.tenants.context import TenantContext
from fastapi import APIRouter, Path, Response
from pydantic import Field, model_validator

from functions.admin.counting import limits_changed

router = APIRouter(tags=["agents"], route_class=IdempotentRoute)
AgentPath = Annotated[str, Path(pattern=id_pattern("agt"), description="Id of the agent, `agt_…`")]
_TEXTS = ("description", "provider", "system_prompt", "fallback_text")
ModelId = Annotated[str, Field(min_length=1, max_length=128)]
ToolName = Annotated[str, Field(min_length=1, max_length=NAME_MAX)]
Profile = Literal["customer_service", "coding", "data_analysis"]


class AgentPrompt(StrictModel):
    """The prompt of an agent, by `id` or by `name`."""

    id: Annotated[str, Field(pattern=id_pattern("prm"))] | None = None
    """Id of a prompt. Null or absent if `name` is given."""
    name: UniqueName | None = None
    """Name of a prompt. A prompt of the tenant takes precedence over a shipped one. Null or absent if `id` is given."""
    version: Annotated[int, Field(ge=1, le=VERSIONS_MAX)] | None = None
    """Version of the prompt. Null or absent: the newest version of each turn."""
    variables: FreeJson = Field(default_factory=dict)
    """Values of the variables that the prompt declares, by name. Default: empty."""

    @model_validator(mode="after")
    def _check_choice(self) -> "AgentPrompt":
        if (self.id is None) == (self.name is None):
            raise ValueError("must have either `id` or `name`")
        return self


class AgentFields(StrictModel):
    """The optional fields of an agent, with their defaults."""

    description: OrNone[Annotated[str, Field(max_length=1_000)]] = None
    """Purpose of the agent, at most 1,000 characters. Null or absent: no description."""
    provider: OrNone[Annotated[str, Field(max_length=64)]] = None
    """`anthropic`, `openai` or `zhipu`; must be the provider of `model`. Null or absent: the provider of `model`.
    For the model `auto`, only null, absent or `auto`.
    """
    system_prompt: OrNone[Annotated[str, Field(max_length=50_000)]] = None
    """System prompt, sent before the conversation, at most 50,000 characters. Null or absent: no system prompt."""
    prompt: AgentPrompt | None = None
    """Prompt of which the system prompt of each turn is made, instead of `system_prompt`. Null or absent: none."""
    injections: Annotated[list[Injection], Field(max_length=len(INJECTIONS))] = Field(default=[*INJECTIONS])
    """What the platform adds to model requests: reminders of the to-do list, warnings near the limits of a turn, and
    preferences of the user. Default: all of them.
    """
    tools: Annotated[list[ToolName], Field(max_length=100)] = Field(default_factory=list)
    """Names of the tools that the agent may use, at most 100. Default: empty."""
    require_approval: Annotated[list[ToolName], Field(max_length=100)] = Field(default_factory=list)
    """Names from `tools` whose calls a person must approve, at most 100. Default: empty."""
    max_tokens: Annotated[int, Field(ge=1, le=1_000_000)] = MAX_TOKENS_DEFAULT
    """Maximum output tokens of one model call, 1 to 1,000,000 and not above the model's maximum. Default 4,096."""
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    """Sampling temperature, 0 to 2. Null or absent: the model's default."""
    max_iterations: Annotated[int, Field(ge=1, le=MAX_ITERATIONS_MAX)] = MAX_ITERATIONS_DEFAULT
    """Maximum model calls of one turn, 1 to 100. Default 20."""
    require_done_tool: bool = False
    """Whether a turn ends only when the model calls the tool `done`. Default false."""
    compaction_profile: Profile | None = None
    """Profile by which older messages are summarised: before a model call would exceed 75 % to 85 % of the two limits
    below. Null or absent: no summaries; the oldest messages are left out.
    """
    max_history_messages: Annotated[int, Field(ge=MESSAGES_KEPT, le=HISTORY_MESSAGES_MAX)] = HISTORY_MESSAGES_MAX
    """Maximum messages of earlier turns in a model call, 10 to 100. Default 100."""
    max_history_tokens: Annotated[int, Field(ge=1_000, le=1_000_000)] = HISTORY_TOKENS_MAX
    """Maximum estimated tokens of a model call, besides system prompt, tools and user message, 1,000 to 1,000,000.
    Default 100,000. The model's context window less `max_tokens` also applies.
    """
    limits: SubjectLimits = Field(default_factory=dict)
    """Limits of the agent, in addition to the tenant's limits. An update replaces all limits. Default: empty."""
    fallback_models: Annotated[list[ModelId], Field(max_length=FALLBACKS_MAX)] = Field(default_factory=list)
    """Models to try if the agent's model fails, in the order of use, at most 2. Must be empty for the model `auto`.
    Default: empty.
    """
    fallback_text: OrNone[Annotated[str, Field(max_length=2_000, pattern=NOT_BLANK)]] = None
    """Text of the answer if every model fails, at most 2,000 characters. Null or absent: the turn fails."""


class AgentBody(AgentFields):
    """An agent to create."""

    name: UniqueName
    """Unique name of the agent in the tenant, 1 to 100 visible characters without `#`."""
    model: ModelId
    """Model id, at most 128 characters, or `auto`: the routing rules choose it. The tenant's plan must include it."""
    is_default: bool = False
    """Whether this agent answers requests without `agent_id`. Default false."""


class AgentPatch(AgentFields):
    """The fields of an agent to change. Absent fields are not changed. `limits` are replaced as a whole."""

    name: UniqueName = Field(default_factory=str)
    """Unique name of the agent in the tenant, 1 to 100 visible characters without `#`."""
    model: ModelId = Field(default_factory=str)
    """Model id, at most 128 characters, or `auto`: the routing rules choose it. The tenant's plan must include it."""
    is_default: bool | None = None
    """True makes this agent the default. False is rejected for the current default. Null or absent: not changed."""


class AgentAnswer(StrictModel):
    """An agent of the tenant: its model, prompt, tools and limits."""

    id: str
    """Id of the agent."""
    name: str
    """Unique name of the agent in the tenant."""
    description: str | None
    """Purpose of the agent. Null if there is no description."""
    provider: str
    """Model provider. `auto` for the model `auto`."""
    model: str
    """Model id, or `auto` if the routing rules choose the model of each turn."""
    system_prompt: str | None
    """System prompt, sent before the conversation. Null if there is no system prompt."""
    prompt: AgentPrompt | None
    """Prompt of which the system prompt of each turn is made. Null: none."""
    injections: list[Injection]
    """What the platform adds to model requests."""
    tools: list[str]
    """Names of the tools that the agent may use."""
    require_approval: list[str]
    """Names of the tools whose calls a person must approve."""
    max_tokens: int
    """Maximum output tokens of one model call."""
    temperature: float | None
    """Sampling temperature. Null: the model's default."""
    max_iterations: int
    """Maximum model calls of one turn."""
    require_done_tool: bool
    """Whether a turn ends only when the model calls the tool `done`."""
    compaction_profile: str | None
    """Profile by which older messages are summarised. Null: older messages are left out."""
    max_history_messages: int
    """Maximum messages of earlier turns in a model call."""
    max_history_tokens: int
    """Maximum estimated tokens of a model call, besides system prompt, tools and user message."""
    limits: ShownLimits
    """Limits of the agent by name. Absent limits are not set."""
    fallback_models: list[str]
    """Models to try if the agent's model fails, in the order of use."""
    fallback_text: str | None
    """Text of the answer if every model fails. Null: the turn fails."""
    is_default: bool
    """Whether this agent answers requests without `agent_id`."""
    created_at: str
    """When the agent was created (RFC 3339, UTC)."""
    updated_at: str
    """When the agent was last changed (RFC 3339, UTC)."""


def _service(runtime: Runtime, tenant: TenantContext) -> AgentService:
    table = runtime.tenant_table(tenant.tenant_id)
    audit = open_audit(tenant, table, runtime.clock)
    return AgentService(tenant, AgentStore(table), runtime.clock, audit, runtime.tools)


@router.get("/v1/agents", dependencies=[require("agents:read")])
def list_agents(tenant: TenantDep, runtime: RuntimeDep, page: PageDep) -> ListOf[AgentAnswer]:
    """List agents.

    Returns all agents of the tenant, oldest first.
    """
    scope = list_scope(tenant, "agents")
    found = _service(runtime, tenant).list(page_request(page, runtime.cursors, scope=scope))
    return render_page(found.map(_render), runtime.cursors, scope=scope)


@router.post(
    "/v1/agents", status_code=201, dependencies=[require("agents:write")], responses=problem_responses(403, 409)
)
def create_agent(
    body: AgentBody, tenant: TenantDep, runtime: RuntimeDep, base_url: BaseUrlDep, response: Response
) -> AgentAnswer:
    """Create an agent.

    Returns 409 if another agent of the tenant has this name. Returns 403 `MODEL_NOT_ALLOWED` if the plan does not
    include the model, and 403 `QUOTA_EXCEEDED` if the tenant has the maximum number of agents.
    """
    view = _service(runtime, tenant).create(_fields(body), is_default=body.is_default)
    response.headers["Location"] = f"{base_url}/v1/agents/{view.agent.id}"
    return _render(view)


@router.get("/v1/agents/{agent_id}", dependencies=[require("agents:read")], responses=problem_responses(404))
def get_agent(agent_id: AgentPath, tenant: TenantDep, runtime: RuntimeDep) -> AgentAnswer:
    """Get an agent.

    Returns 404 if the id does not exist in the tenant.
    """
    return _render(_service(runtime, tenant).get(agent_id))


@router.patch(
    "/v1/agents/{agent_id}", dependencies=[require("agents:write")], responses=problem_responses(403, 404, 409)
)
def update_agent(agent_id: AgentPath, body: AgentPatch, tenant: TenantDep, runtime: RuntimeDep) -> AgentAnswer:
    """Update an agent.

    Absent fields are not changed. `limits` are replaced as a whole. The change applies from the next turn.
    """
    service, fields = _service(runtime, tenant), _fields(body)
    before = service.get(agent_id).agent
    changed = service.change(agent_id, fields, is_default=body.is_default)
    limits_changed(runtime, tenant, before.id, before.limits, changed.agent.limits)
    return _render(changed)


@router.delete(
    "/v1/agents/{agent_id}",
    status_code=204,
    dependencies=[require("agents:write")],
    responses=problem_responses(404, 409),
)
def delete_agent(agent_id: AgentPath, tenant: TenantDep, runtime: RuntimeDep) -> None:
    """Delete an agent.

    Returns 409 for the default agent, which cannot be deleted. A turn in a session that uses the deleted
    agent returns 404 until the session has another agent.
    """
    _service(runtime, tenant).delete(agent_id)


def _fields(body: AgentFields) -> dict[str, Any]:
    """Return the fields that were sent, converted to domain types."""
    fields: dict[str, Any] = {name: getattr(body, name) for name in body.model_fields_set if name != "is_default"}
    fields |= {name: fields[name] or "" for name in _TEXTS if name in fields}
    if fields.get("temperature") is not None:
        fields["temperature"] = Decimal(str(fields["temperature"]))
    if body.prompt is not None:
        fields["prompt"] = PromptReference(
            PromptId(body.prompt.id or ""), body.prompt.name or "", body.prompt.version, body.prompt.variables
        )
    if "injections" in fields:
        fields["injections"] = tuple(name for name in INJECTIONS if name in fields["injections"])
    for names in {"tools", "require_approval"} & fields.keys():
        fields[names] = tuple(dict.fromkeys(fields[names]))
    if "fallback_models" in fields:
        fields["fallback_models"] = tuple(fields["fallback_models"])
    if "model" in fields:
        fields.setdefault("provider", "")
    return fields


def _render_prompt(prompt: PromptReference) -> AgentPrompt:
    known = {"name": prompt.name} if prompt.name else {"id": prompt.id}
    return AgentPrompt.model_validate({**known, "version": prompt.version, "variables": prompt.variables})


def _render(view: AgentView) -> AgentAnswer:
    agent = view.agent
    return AgentAnswer(
        id=agent.id,
        name=agent.name,
        description=agent.description or None,
        provider=agent.provider,
        model=agent.model,
        system_prompt=agent.system_prompt or None,
        prompt=_render_prompt(agent.prompt) if agent.prompt else None,
        injections=list(agent.injections),
        tools=list(agent.tools),
        require_approval=list(agent.require_approval),
        max_tokens=agent.max_tokens,
        temperature=float(agent.temperature) if agent.temperature is not None else None,
        max_iterations=agent.max_iterations,
        require_done_tool=agent.require_done_tool,
        compaction_profile=agent.compaction_profile,
        max_history_messages=agent.max_history_messages,
        max_history_tokens=agent.max_history_tokens,
        limits=show_limits(agent.limits),
        fallback_models=list(agent.fallback_models),
        fallback_text=agent.fallback_text or None,
        is_default=view.is_default,
        created_at=format_time(agent.created_at),
        updated_at=format_time(agent.updated_at),
    )
