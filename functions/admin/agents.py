"""`/v1/agents`: a tenant's agent configurations."""

from decimal import Decimal
from typing import Annotated, Any, Literal

from atrium.agent.model import MAX_ITERATIONS_DEFAULT, MAX_ITERATIONS_MAX, MAX_TOKENS_DEFAULT
from atrium.agent.service import AgentService, AgentView
from atrium.agent.store import AgentStore
from atrium.bootstrap import Runtime
from atrium.http.dependencies import BaseUrlDep, PageDep, RuntimeDep, TenantDep, require
from atrium.http.fields import OrNone, UniqueName
from atrium.http.idempotency import IdempotentRoute
from atrium.http.limits import ShownLimits, SubjectLimits
from atrium.http.models import ListOf, StrictModel, id_pattern
from atrium.http.pages import list_scope, page_request, render_page
from atrium.http.responses import problem_responses
from atrium.kernel.clock import format_time
from atrium.llm.resilience import FALLBACKS_MAX
from atrium.quotas.limits import show_limits
from atrium.tenants.auditing import open_audit
from atrium.tenants.context import TenantContext
from fastapi import APIRouter, Path, Response
from pydantic import Field

from functions.admin.counting import limits_changed

router = APIRouter(tags=["agents"], route_class=IdempotentRoute)
AgentPath = Annotated[str, Path(pattern=id_pattern("agt"))]
_TEXTS = ("description", "provider", "system_prompt", "fallback_text")
ModelId = Annotated[str, Field(min_length=1, max_length=128)]
ToolName = Annotated[str, Field(min_length=1, max_length=64)]
Profile = Literal["customer_service", "coding", "data_analysis"]


class AgentFields(StrictModel):
    """What may be said of an agent, each part with its default."""

    description: OrNone[Annotated[str, Field(max_length=1_000)]] = None
    provider: OrNone[Annotated[str, Field(max_length=64)]] = None
    system_prompt: OrNone[Annotated[str, Field(max_length=50_000)]] = None
    tools: Annotated[list[ToolName], Field(max_length=100)] = Field(default_factory=list)
    max_tokens: Annotated[int, Field(ge=1, le=1_000_000)] = MAX_TOKENS_DEFAULT
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    max_iterations: Annotated[int, Field(ge=1, le=MAX_ITERATIONS_MAX)] = MAX_ITERATIONS_DEFAULT
    require_done_tool: bool = False
    compaction_profile: Profile | None = None
    limits: SubjectLimits = Field(default_factory=dict)
    fallback_models: Annotated[list[ModelId], Field(max_length=FALLBACKS_MAX)] = Field(default_factory=list)
    fallback_text: OrNone[Annotated[str, Field(max_length=2_000)]] = None


class AgentBody(AgentFields):
    """A new agent."""

    name: UniqueName
    model: ModelId
    is_default: bool = False


class AgentPatch(AgentFields):
    """Any part of an agent; what is absent stays. `limits` are replaced as a whole."""

    name: UniqueName = Field(default_factory=str)
    model: ModelId = Field(default_factory=str)
    is_default: bool | None = None


class AgentAnswer(StrictModel):
    """An agent as it is now."""

    id: str
    name: str
    description: str | None
    provider: str
    model: str
    system_prompt: str | None
    tools: list[str]
    max_tokens: int
    temperature: float | None
    max_iterations: int
    require_done_tool: bool
    compaction_profile: str | None
    limits: ShownLimits
    fallback_models: list[str]
    fallback_text: str | None
    is_default: bool
    created_at: str
    updated_at: str


def _service(runtime: Runtime, tenant: TenantContext) -> AgentService:
    table = runtime.tenant_table(tenant.tenant_id)
    return AgentService(tenant, AgentStore(table), runtime.clock, open_audit(tenant, table, runtime.clock))


@router.get("/v1/agents", dependencies=[require("agents:read")])
def list_agents(tenant: TenantDep, runtime: RuntimeDep, page: PageDep) -> ListOf[AgentAnswer]:
    """List the tenant's agents, oldest first."""
    scope = list_scope(tenant, "agents")
    found = _service(runtime, tenant).list(page_request(page, runtime.cursors, scope=scope))
    return render_page(found.map(_render), runtime.cursors, scope=scope)


@router.post(
    "/v1/agents", status_code=201, dependencies=[require("agents:write")], responses=problem_responses(403, 409)
)
def create_agent(
    body: AgentBody, tenant: TenantDep, runtime: RuntimeDep, base_url: BaseUrlDep, response: Response
) -> AgentAnswer:
    """Create an agent."""
    view = _service(runtime, tenant).create(_fields(body), is_default=body.is_default)
    response.headers["Location"] = f"{base_url}/v1/agents/{view.agent.id}"
    return _render(view)


@router.get("/v1/agents/{agent_id}", dependencies=[require("agents:read")], responses=problem_responses(404))
def get_agent(agent_id: AgentPath, tenant: TenantDep, runtime: RuntimeDep) -> AgentAnswer:
    """Return an agent."""
    return _render(_service(runtime, tenant).get(agent_id))


@router.patch(
    "/v1/agents/{agent_id}", dependencies=[require("agents:write")], responses=problem_responses(403, 404, 409)
)
def update_agent(agent_id: AgentPath, body: AgentPatch, tenant: TenantDep, runtime: RuntimeDep) -> AgentAnswer:
    """Change any part of an agent. The next turn uses it."""
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
    """Delete an agent that is not the default."""
    _service(runtime, tenant).delete(agent_id)


def _fields(body: AgentFields) -> dict[str, Any]:
    """Return the fields that were sent, in the domain's types."""
    fields: dict[str, Any] = {name: getattr(body, name) for name in body.model_fields_set if name != "is_default"}
    fields |= {
        name: fields[name] or ""
        for name in ("description", "provider", "system_prompt", "fallback_text")
        if name in fields
    }
    if fields.get("temperature") is not None:
        fields["temperature"] = Decimal(str(fields["temperature"]))
    if "tools" in fields:
        fields["tools"] = tuple(dict.fromkeys(fields["tools"]))
    if "fallback_models" in fields:
        fields["fallback_models"] = tuple(fields["fallback_models"])
    if "model" in fields:
        fields.setdefault("provider", "")
    return fields


def _render(view: AgentView) -> AgentAnswer:
    agent = view.agent
    return AgentAnswer(
        id=agent.id,
        name=agent.name,
        description=agent.description or None,
        provider=agent.provider,
        model=agent.model,
        system_prompt=agent.system_prompt or None,
        tools=list(agent.tools),
        max_tokens=agent.max_tokens,
        temperature=float(agent.temperature) if agent.temperature is not None else None,
        max_iterations=agent.max_iterations,
        require_done_tool=agent.require_done_tool,
        compaction_profile=agent.compaction_profile,
        limits=show_limits(agent.limits),
        fallback_models=list(agent.fallback_models),
        fallback_text=agent.fallback_text or None,
        is_default=view.is_default,
        created_at=format_time(agent.created_at),
        updated_at=format_time(agent.updated_at),
    )
