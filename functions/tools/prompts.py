"""`/v1/prompts`: prompt templates of a tenant, their versions, and previews of their texts."""

from typing import Annotated

from atrium.agent.service import agents_needing
from atrium.agent.store import AgentStore
from atrium.bootstrap import Runtime
from atrium.http.dependencies import BaseUrlDep, PageDep, RuntimeDep, TenantDep, require
from atrium.http.idempotency import IdempotentRoute
from atrium.http.models import ListOf, id_pattern
from atrium.http.pages import list_scope, page_request, render_page
from atrium.http.responses import problem_responses
from atrium.kernel.ids import PromptId
from atrium.prompts.instructions import Person, sample_values
from atrium.prompts.model import PromptVersion, Values
from atrium.prompts.service import PromptService
from atrium.prompts.store import PromptStore
from atrium.storage import keys
from atrium.tenants.auditing import open_audit
from atrium.tenants.context import TenantContext
from fastapi import APIRouter, Path, Response

from functions.tools.prompt_models import (
    BuiltInValues,
    PreviewAnswer,
    PromptAnswer,
    PromptBody,
    PromptPatch,
    PromptRenderBody,
    PromptVersionAnswer,
    TemplateRenderBody,
    read_fields,
    read_variables,
    render_preview,
    render_prompt,
    render_version,
)

router = APIRouter(tags=["prompts"], route_class=IdempotentRoute)
PromptPath = Annotated[str, Path(pattern=id_pattern("prm"), description="Id of the prompt, `prm_…`")]
VersionPath = Annotated[str, Path(pattern="^[1-9][0-9]{0,3}$", description="Number of the version, such as `1`")]


def _service(runtime: Runtime, tenant: TenantContext) -> PromptService:
    table = runtime.tenant_table(tenant.tenant_id)
    audit = open_audit(tenant, table, runtime.clock)
    return PromptService(
        PromptStore(table), runtime.clock, audit, lambda prompt: agents_needing(AgentStore(table), prompt)
    )


@router.get("/v1/prompts", dependencies=[require("agents:read")])
def list_prompts(tenant: TenantDep, runtime: RuntimeDep, page: PageDep) -> ListOf[PromptAnswer]:
    """List prompts.

    Returns the shipped prompts (`source` is `builtin`), and then the tenant's prompts, oldest first, each with its
    newest version.
    """
    scope = list_scope(tenant, "prompts")
    found = _service(runtime, tenant).list(page_request(page, runtime.cursors, scope=scope))
    return render_page(found.map(render_prompt), runtime.cursors, scope=scope)


@router.post(
    "/v1/prompts", status_code=201, dependencies=[require("agents:write")], responses=problem_responses(403, 409)
)
def create_prompt(
    body: PromptBody, tenant: TenantDep, runtime: RuntimeDep, base_url: BaseUrlDep, response: Response
) -> PromptAnswer:
    """Create a prompt.

    The template is checked; 422 names the line and the reason if it is not allowed. A prompt with the name of a shipped
    one overrides it. Returns 409 if another prompt of the tenant has this name, and 403 `QUOTA_EXCEEDED` if the tenant
    has 100 prompts.
    """
    variables = read_variables(body.variables)
    prompt = _service(runtime, tenant).create(body.name, body.description or "", body.template, variables)
    response.headers["Location"] = f"{base_url}/v1/prompts/{prompt.id}"
    return render_prompt(prompt)


@router.post("/v1/prompts/render", dependencies=[require("agents:read")])
def render_template(body: TemplateRenderBody, tenant: TenantDep, runtime: RuntimeDep) -> PreviewAnswer:
    """Render a template.

    Returns the text of a template that is not stored. No model is called, and nothing is charged.
    """
    variables = read_variables(body.variables)
    version = PromptVersion(PromptId(""), 1, body.template, variables, runtime.clock())
    values = _built_in_values(runtime, tenant, body.built_in)
    return render_preview(_service(runtime, tenant).preview(version, body.values, values))


@router.get("/v1/prompts/{prompt_id}", dependencies=[require("agents:read")])
def get_prompt(prompt_id: PromptPath, tenant: TenantDep, runtime: RuntimeDep) -> PromptAnswer:
    """Get a prompt.

    Returns the prompt with its newest version, or 404 if the id does not exist in the tenant.
    """
    return render_prompt(_service(runtime, tenant).get(prompt_id))


@router.patch("/v1/prompts/{prompt_id}", dependencies=[require("agents:write")], responses=problem_responses(403, 409))
def update_prompt(prompt_id: PromptPath, body: PromptPatch, tenant: TenantDep, runtime: RuntimeDep) -> PromptAnswer:
    """Update a prompt.

    Absent fields are not changed. Another template or other variables make a new version, which agents without a fixed
    version use from their next turn. Returns 409 for a shipped prompt, if the name is in use, if the name changes while
    an agent uses it, or if another request changed the prompt at the same time. Returns 403 `QUOTA_EXCEEDED` if the
    prompt has 1,000 versions.
    """
    return render_prompt(_service(runtime, tenant).change(prompt_id, read_fields(body)))


@router.delete(
    "/v1/prompts/{prompt_id}",
    status_code=204,
    dependencies=[require("agents:write")],
    responses=problem_responses(409),
)
def delete_prompt(prompt_id: PromptPath, tenant: TenantDep, runtime: RuntimeDep) -> None:
    """Delete a prompt.

    Deletes the prompt and its versions. Agents that use an overridden shipped prompt by its name use the shipped one
    again. Returns 409 for a shipped prompt, or if an agent needs the prompt. The response names the agents.
    """
    _service(runtime, tenant).delete(prompt_id)


@router.post("/v1/prompts/{prompt_id}/render", dependencies=[require("agents:read")])
def render_prompt_version(
    prompt_id: PromptPath, body: PromptRenderBody, tenant: TenantDep, runtime: RuntimeDep
) -> PreviewAnswer:
    """Render a prompt.

    Returns the text of a version with the given values. No model is called, and nothing is charged.
    """
    service = _service(runtime, tenant)
    found = service.get(prompt_id).newest if body.version is None else service.get_version(prompt_id, body.version)
    return render_preview(service.preview(found, body.values, _built_in_values(runtime, tenant, body.built_in)))


@router.get("/v1/prompts/{prompt_id}/versions", dependencies=[require("agents:read")])
def list_prompt_versions(
    prompt_id: PromptPath, tenant: TenantDep, runtime: RuntimeDep, page: PageDep
) -> ListOf[PromptVersionAnswer]:
    """List the versions of a prompt.

    Returns the versions, newest first.
    """
    scope = list_scope(tenant, f"prompts/{prompt_id}/versions")
    found = _service(runtime, tenant).list_versions(prompt_id, page_request(page, runtime.cursors, scope=scope))
    return render_page(found.map(render_version), runtime.cursors, scope=scope)


@router.get("/v1/prompts/{prompt_id}/versions/{version}", dependencies=[require("agents:read")])
def get_prompt_version(
    prompt_id: PromptPath, version: VersionPath, tenant: TenantDep, runtime: RuntimeDep
) -> PromptVersionAnswer:
    """Get a version of a prompt.

    A version never changes. Returns 404 if the prompt has no version with this number.
    """
    return render_version(_service(runtime, tenant).get_version(prompt_id, int(version)))


_OF_PERSON = ("time_zone", "language")


def _built_in_values(runtime: Runtime, tenant: TenantContext, given: BuiltInValues) -> Values:
    """Return the built-in variables of a preview. Costs one read if the company is not given."""
    sent = given.model_dump(exclude_none=True)
    if "company" not in sent:
        item = runtime.tenant_table(tenant.tenant_id).get(keys.tenant()) or {}
        sent["company"] = item.get("display_name") or tenant.tenant_name
    person = Person({"name": tenant.principal.name, **{name: sent[name] for name in _OF_PERSON if name in sent}})
    return {**sample_values("assistant", ()), **person.values(runtime.clock()), **sent}
