"""`/v1/policies`: routes for a tenant's access policies."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Annotated

from atrium.bootstrap import Runtime
from atrium.http.dependencies import BaseUrlDep, PageDep, RuntimeDep, TenantDep, require
from atrium.http.guarding import open_guard
from atrium.http.idempotency import IdempotentRoute
from atrium.http.models import ListOf, id_pattern
from atrium.http.pages import list_scope, page_request, render_page
from atrium.http.responses import problem_responses
from atrium.kernel.pagination import read_all
from atrium.llm.catalogue import MODELS
from atrium.policy.names import NAMED, PolicyNames
from atrium.policy.service import PolicyService
from atrium.tenants.context import TenantContext
from atrium.tools.http.store import HttpToolStore
from atrium.tools.registry import BUILT_IN
from fastapi import APIRouter, Response
from fastapi import Path as PathParameter

from functions.admin.policy_models import (
    CheckedPolicy,
    DecisionAnswer,
    EvaluateBody,
    PolicyAnswer,
    PolicyBody,
    PolicyPatch,
    read_fields,
    render_checked,
    render_decision,
    render_policy,
)

router = APIRouter(tags=["policies"], route_class=IdempotentRoute, dependencies=[require("admin")])
PolicyPath = Annotated[str, PathParameter(pattern=id_pattern("pol"), description="Id of the policy, `pol_…`")]


def _service(runtime: Runtime, tenant: TenantContext) -> PolicyService:
    return PolicyService(open_guard(runtime, tenant), runtime.clock)


@cache
def _guarded_routes() -> tuple[str, ...]:
    """Return the routes that check policies, from the file that `make openapi` writes."""
    return tuple(Path(__file__).with_name("routes.txt").read_text(encoding="utf-8").splitlines())


def _names(runtime: Runtime, tenant: TenantContext) -> PolicyNames:
    table = runtime.tenant_table(tenant.tenant_id)

    def list_tools() -> Iterator[str]:
        yield from (tool.name for tool in BUILT_IN)
        yield from (tool.name for tool in read_all(HttpToolStore(table).list))

    return PolicyNames(table, _guarded_routes(), list_tools, tuple(MODELS))


@router.get("/v1/policies")
def list_policies(tenant: TenantDep, runtime: RuntimeDep, page: PageDep) -> ListOf[PolicyAnswer]:
    """List policies.

    Returns all policies of the tenant, oldest first. If the tenant has no policies, only scopes are checked.
    """
    scope = list_scope(tenant, "policies")
    found = _service(runtime, tenant).list(page_request(page, runtime.cursors, scope=scope))
    return render_page(found.map(render_policy), runtime.cursors, scope=scope)


@router.post("/v1/policies", status_code=201)
def create_policy(
    body: PolicyBody, tenant: TenantDep, runtime: RuntimeDep, base_url: BaseUrlDep, response: Response
) -> CheckedPolicy:
    """Create a policy.

    The policy applies within a minute. Returns 422 if the policy names an agent, tool, model or route that does not
    exist. `warnings` contains a sentence for each pattern that matches nothing.
    """
    fields = read_fields(body)
    warnings = _names(runtime, tenant).check(fields)
    policy = _service(runtime, tenant).create(fields)
    response.headers["Location"] = f"{base_url}/v1/policies/{policy.id}"
    return render_checked(policy, warnings)


@router.post("/v1/policies/evaluate")
def evaluate_policies(body: EvaluateBody, tenant: TenantDep, runtime: RuntimeDep) -> DecisionAnswer:
    """Evaluate the policies.

    Returns whether the current policies would allow a call. The call is not executed, and no audit event is written.
    """
    asked = body.circumstances()
    decision = _service(runtime, tenant).evaluate(body.principal, body.resource, body.action, **asked)
    return render_decision(decision)


@router.get("/v1/policies/{policy_id}")
def get_policy(policy_id: PolicyPath, tenant: TenantDep, runtime: RuntimeDep) -> PolicyAnswer:
    """Get a policy.

    Returns 404 if the id does not exist in the tenant.
    """
    return render_policy(_service(runtime, tenant).get(policy_id))


@router.patch("/v1/policies/{policy_id}", responses=problem_responses(409))
def update_policy(policy_id: PolicyPath, body: PolicyPatch, tenant: TenantDep, runtime: RuntimeDep) -> CheckedPolicy:
    """Update a policy.

    Absent fields are not changed. `conditions` are replaced as a whole. The change applies within a
    minute. Returns 422 if the change adds a name that does not exist.
    """
    service, fields = _service(runtime, tenant), read_fields(body)
    before = service.get(policy_id)
    new = {field: [name for name in fields.get(field, ()) if name not in getattr(before, field)] for field in NAMED}
    warnings = _names(runtime, tenant).check(new)
    return render_checked(service.change(policy_id, fields), warnings)


@router.delete("/v1/policies/{policy_id}", status_code=204)
def delete_policy(policy_id: PolicyPath, tenant: TenantDep, runtime: RuntimeDep) -> None:
    """Delete a policy.

    The policy stops applying within a minute.
    """
    _service(runtime, tenant).delete(policy_id)
