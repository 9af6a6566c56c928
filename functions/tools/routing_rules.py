"""`/v1/routing-rules`: a tenant's rules that choose the models of turns whose model is `auto`."""

from typing import Annotated

from atrium.bootstrap import Runtime
from atrium.http.dependencies import BaseUrlDep, PageDep, RuntimeDep, TenantDep, require
from atrium.http.idempotency import IdempotentRoute
from atrium.http.models import ListOf, id_pattern
from atrium.http.pages import list_scope, page_request, render_page
from atrium.http.responses import problem_responses
from atrium.routing.service import RoutingRuleService
from atrium.routing.store import RoutingRuleStore
from atrium.tenants.auditing import open_audit
from atrium.tenants.context import TenantContext
from fastapi import APIRouter, Path, Response

from functions.tools.routing_rule_models import (
    RoutingRuleAnswer,
    RoutingRuleBody,
    RoutingRulePatch,
    read_fields,
    render_rule,
)

router = APIRouter(tags=["routing"], route_class=IdempotentRoute, dependencies=[require("admin")])
RulePath = Annotated[str, Path(pattern=id_pattern("rul"), description="Id of the routing rule, `rul_…`")]


def _service(runtime: Runtime, tenant: TenantContext) -> RoutingRuleService:
    table = runtime.tenant_table(tenant.tenant_id)
    return RoutingRuleService(RoutingRuleStore(table), runtime.clock, open_audit(tenant, table, runtime.clock))


@router.get("/v1/routing-rules")
def list_routing_rules(tenant: TenantDep, runtime: RuntimeDep, page: PageDep) -> ListOf[RoutingRuleAnswer]:
    """List routing rules.

    Returns the rules of the tenant, oldest first, without the shipped rules.
    """
    scope = list_scope(tenant, "routing-rules")
    found = _service(runtime, tenant).list(page_request(page, runtime.cursors, scope=scope))
    return render_page(found.map(render_rule), runtime.cursors, scope=scope)


@router.post("/v1/routing-rules", status_code=201, responses=problem_responses(403, 409))
def create_routing_rule(
    body: RoutingRuleBody, tenant: TenantDep, runtime: RuntimeDep, base_url: BaseUrlDep, response: Response
) -> RoutingRuleAnswer:
    """Create a routing rule.

    The rule applies from the next turn. Returns 409 if another rule has this name, and 403 `QUOTA_EXCEEDED` if the
    tenant has 50 rules. A model that the plan does not include is skipped in turns.
    """
    rule = _service(runtime, tenant).create(read_fields(body))
    response.headers["Location"] = f"{base_url}/v1/routing-rules/{rule.id}"
    return render_rule(rule)


@router.get("/v1/routing-rules/{rule_id}")
def get_routing_rule(rule_id: RulePath, tenant: TenantDep, runtime: RuntimeDep) -> RoutingRuleAnswer:
    """Get a routing rule.

    Returns 404 if the id does not exist in the tenant.
    """
    return render_rule(_service(runtime, tenant).get(rule_id))


@router.patch("/v1/routing-rules/{rule_id}", responses=problem_responses(409))
def update_routing_rule(
    rule_id: RulePath, body: RoutingRulePatch, tenant: TenantDep, runtime: RuntimeDep
) -> RoutingRuleAnswer:
    """Update a routing rule.

    Absent fields are not changed. The change applies from the next turn. Returns 409 if the name is in use, or if
    another request changed the rule at the same time.
    """
    return render_rule(_service(runtime, tenant).change(rule_id, read_fields(body)))


@router.delete("/v1/routing-rules/{rule_id}", status_code=204, responses=problem_responses(409))
def delete_routing_rule(rule_id: RulePath, tenant: TenantDep, runtime: RuntimeDep) -> None:
    """Delete a routing rule.

    The rule stops applying from the next turn.
    """
    _service(runtime, tenant).delete(rule_id)
