"""`/v1/identity-providers`: the issuers that a tenant trusts."""

from typing import Annotated

from atrium.bootstrap import Runtime
from atrium.http.dependencies import BaseUrlDep, PageDep, RuntimeDep, TenantDep, require
from atrium.http.idempotency import IdempotentRoute
from atrium.http.models import ListOf, id_pattern
from atrium.http.pages import list_scope, page_request, render_page
from atrium.http.responses import problem_responses
from atrium.identity.providers.key_sets import KeySetStore
from atrium.identity.providers.service import IdentityProviderService
from atrium.identity.providers.store import IdentityProviderStore, IssuerRegistry
from atrium.tenants.auditing import open_audit
from atrium.tenants.context import TenantContext
from fastapi import APIRouter, Path, Response

from functions.admin.identity_provider_models import (
    IdentityProviderAnswer,
    IdentityProviderBody,
    IdentityProviderDetail,
    IdentityProviderPatch,
    read_fields,
    render_detail,
    render_provider,
)

router = APIRouter(tags=["identity providers"], route_class=IdempotentRoute, dependencies=[require("admin")])
ProviderPath = Annotated[str, Path(pattern=id_pattern("idp"))]


def _service(runtime: Runtime, tenant: TenantContext) -> IdentityProviderService:
    table = runtime.tenant_table(tenant.tenant_id)
    return IdentityProviderService(
        tenant,
        IdentityProviderStore(table),
        IssuerRegistry(runtime.platform_table),
        open_audit(tenant, table, runtime.clock),
        runtime.settings.egress_local_addresses,
        runtime.clock,
    )


@router.get("/v1/identity-providers")
def list_identity_providers(tenant: TenantDep, runtime: RuntimeDep, page: PageDep) -> ListOf[IdentityProviderAnswer]:
    """List the tenant's identity providers, oldest first."""
    scope = list_scope(tenant, "identity-providers")
    found = _service(runtime, tenant).list(page_request(page, runtime.cursors, scope=scope))
    return render_page(found.map(render_provider), runtime.cursors, scope=scope)


@router.post("/v1/identity-providers", status_code=201, responses=problem_responses(409))
def create_identity_provider(
    body: IdentityProviderBody, tenant: TenantDep, runtime: RuntimeDep, base_url: BaseUrlDep, response: Response
) -> IdentityProviderAnswer:
    """Trust an issuer: from now on its tokens for this audience are credentials of the tenant's users."""
    provider = _service(runtime, tenant).create(read_fields(body))
    response.headers["Location"] = f"{base_url}/v1/identity-providers/{provider.id}"
    return render_provider(provider)


@router.get("/v1/identity-providers/{provider_id}")
def get_identity_provider(provider_id: ProviderPath, tenant: TenantDep, runtime: RuntimeDep) -> IdentityProviderDetail:
    """Return an identity provider, and how the last attempt to fetch its keys went."""
    provider = _service(runtime, tenant).get(provider_id)
    return render_detail(provider, KeySetStore(runtime.tenant_table(tenant.tenant_id)).get(provider))


@router.patch("/v1/identity-providers/{provider_id}", responses=problem_responses(409))
def update_identity_provider(
    provider_id: ProviderPath, body: IdentityProviderPatch, tenant: TenantDep, runtime: RuntimeDep
) -> IdentityProviderAnswer:
    """Change any part of an identity provider; effective within 30 seconds."""
    return render_provider(_service(runtime, tenant).change(provider_id, read_fields(body)))


@router.delete("/v1/identity-providers/{provider_id}", status_code=204, responses=problem_responses(409))
def delete_identity_provider(provider_id: ProviderPath, tenant: TenantDep, runtime: RuntimeDep) -> None:
    """Trust an issuer no longer; its tokens end within 30 seconds. Users that came through it stay."""
    _service(runtime, tenant).delete(provider_id)
