"""`/v1/tools`: the built-in tools, and a tenant's HTTP tools."""

from collections.abc import Sequence
from typing import Annotated, Any

from atrium.agent.service import agents_naming
from atrium.agent.store import AgentStore
from atrium.bootstrap import Runtime
from atrium.http.dependencies import BaseUrlDep, PageDep, RuntimeDep, TenantDep, require
from atrium.http.guarding import open_guard
from atrium.http.idempotency import IdempotentRoute
from atrium.http.models import ListOf, id_pattern
from atrium.http.pages import list_scope, page_request, render_page
from atrium.http.responses import problem_responses
from atrium.http.turns import tool_services
from atrium.kernel.pagination import Page, PageRequest
from atrium.policy.guard import PolicyGuard
from atrium.tenants.context import TenantContext
from atrium.tools.http.calling import make_tool
from atrium.tools.http.model import ToolDefinition
from atrium.tools.http.service import HttpToolService
from atrium.tools.http.store import HttpToolStore
from atrium.tools.model import Tool
from atrium.tools.registry import required_actions
from fastapi import APIRouter, Path, Response

from functions.tools.models import (
    ToolAnswer,
    ToolBody,
    ToolPatch,
    ToolTestAnswer,
    ToolTestBody,
    read_fields,
    render_tool,
)

router = APIRouter(tags=["tools"], route_class=IdempotentRoute)
ToolPath = Annotated[str, Path(pattern=id_pattern("tol"), description="Id of the tool, `tol_…`")]
_BUILT_IN_LISTED = "built_in"


def _service(runtime: Runtime, tenant: TenantContext) -> HttpToolService:
    table = runtime.tenant_table(tenant.tenant_id)
    return HttpToolService(
        open_guard(runtime, tenant),
        HttpToolStore(table),
        runtime.secret_encryption(tenant.tenant_id),
        runtime.egress.rules.local_addresses,
        lambda tool: agents_naming(AgentStore(table), tool),
    )


@router.get("/v1/tools", dependencies=[require("agents:read")])
def list_tools(tenant: TenantDep, runtime: RuntimeDep, page: PageDep) -> ListOf[ToolAnswer]:
    """List tools.

    Returns the built-in tools that this deployment offers, and then the tenant's HTTP tools by name. `allowed` shows
    which tools the caller may call.
    """
    scope, service = list_scope(tenant, "tools"), _service(runtime, tenant)
    found = _list(service, runtime.tools, page_request(page, runtime.cursors, scope=scope))
    return render_page(found.map(lambda each: _render(service.guard, each)), runtime.cursors, scope=scope)


@router.post("/v1/tools", status_code=201, dependencies=[require("admin")], responses=problem_responses(403, 409))
def create_tool(
    body: ToolBody, tenant: TenantDep, runtime: RuntimeDep, base_url: BaseUrlDep, response: Response
) -> ToolAnswer:
    """Create an HTTP tool.

    Returns 409 if another tool has this name, and 403 `QUOTA_EXCEEDED` if the tenant has 100 tools. Add the name of the
    tool to `tools` of an agent to use it.
    """
    service = _service(runtime, tenant)
    tool = service.create(read_fields(body))
    response.headers["Location"] = f"{base_url}/v1/tools/{tool.id}"
    return _render(service.guard, tool)


@router.get("/v1/tools/{tool_id}", dependencies=[require("agents:read")], responses=problem_responses(404))
def get_tool(tool_id: ToolPath, tenant: TenantDep, runtime: RuntimeDep) -> ToolAnswer:
    """Get an HTTP tool.

    Returns 404 if the id does not exist in the tenant.
    """
    service = _service(runtime, tenant)
    return _render(service.guard, service.get(tool_id))


@router.patch("/v1/tools/{tool_id}", dependencies=[require("admin")], responses=problem_responses(404, 409))
def update_tool(tool_id: ToolPath, body: ToolPatch, tenant: TenantDep, runtime: RuntimeDep) -> ToolAnswer:
    """Update an HTTP tool.

    Absent fields are not changed. The change applies from the next turn. Returns 409 if the name is in use, or if it
    changes and an agent has the tool.
    """
    service = _service(runtime, tenant)
    return _render(service.guard, service.change(tool_id, read_fields(body)))


@router.delete(
    "/v1/tools/{tool_id}", status_code=204, dependencies=[require("admin")], responses=problem_responses(404, 409)
)
def delete_tool(tool_id: ToolPath, tenant: TenantDep, runtime: RuntimeDep) -> None:
    """Delete an HTTP tool.

    Returns 409 if an agent has the tool. The response names the agents.
    """
    _service(runtime, tenant).delete(tool_id)


@router.post("/v1/tools/{tool_id}/test", dependencies=[require("admin")], responses=problem_responses(404))
def test_tool(tool_id: ToolPath, body: ToolTestBody, tenant: TenantDep, runtime: RuntimeDep) -> ToolTestAnswer:
    """Test an HTTP tool.

    Makes the request of the tool, with its effects, and returns the result that a model would receive. The call is
    audited. It is not a turn, and it needs no approval.
    """
    service = _service(runtime, tenant)
    answer = service.test(tool_id, body.arguments, tool_services(runtime, service.guard))
    return ToolTestAnswer(result=answer.text, is_error=answer.is_error)


def _list(
    service: HttpToolService, built_in: Sequence[Tool[Any]], page: PageRequest
) -> Page[Tool[Any] | ToolDefinition]:
    """Return a page of the built-in tools, which come first, and the tenant's tools."""
    position = page.position or {_BUILT_IN_LISTED: "0"}
    if _BUILT_IN_LISTED not in position:
        return service.list(page).map(lambda tool: tool)
    start = int(position[_BUILT_IN_LISTED])
    shown: list[Tool[Any] | ToolDefinition] = [*built_in[start : start + page.limit]]
    if len(shown) == page.limit:
        return Page(shown, {_BUILT_IN_LISTED: str(start + len(shown))})
    rest = service.list(PageRequest(page.limit - len(shown)))
    return Page([*shown, *rest.items], rest.position)


def _render(guard: PolicyGuard, found: Tool[Any] | ToolDefinition) -> ToolAnswer:
    definition = found if isinstance(found, ToolDefinition) else None
    tool: Tool[Any] = make_tool(found) if isinstance(found, ToolDefinition) else found
    allowed = all(guard.evaluate(f"tool:{tool.name}", action).allowed for action in required_actions(tool))
    return render_tool(tool, definition, allowed=allowed)
