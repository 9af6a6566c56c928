"""`/v1/identity-providers`: a tenant's OIDC issuers, and sign-in with Google, GitHub and Slack."""

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
from atrium.identity.social.model import SocialClient
from atrium.identity.social.service import SocialClientService
from atrium.identity.social.store import ProviderDirectory, SocialClientStore
from atrium.tenants.auditing import open_audit
from atrium.tenants.context import TenantContext
from fastapi import APIRouter, Path, Response

from functions.admin.identity_provider_models import (
    AnyAnswer,
    AnyDetail,
    IdentityProviderBody,
    IdentityProviderPatch,
    read_fields,
    read_new,
    render_detail,
    render_provider,
)
from functions.admin.social_client_models import render_client

router = APIRouter(tags=["identity providers"], route_class=IdempotentRoute, dependencies=[require("admin")])
ProviderPath = Annotated[str, Path(pattern=id_pattern("idp"), description="Id of the identity provider, `idp_…`")]


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


def _clients(runtime: Runtime, tenant: TenantContext) -> SocialClientService:
    table = runtime.tenant_table(tenant.tenant_id)
    audit = open_audit(tenant, table, runtime.clock)
    return SocialClientService(
        SocialClientStore(table), audit, runtime.secret_encryption(tenant.tenant_id), runtime.clock
    )


def _directory(runtime: Runtime, tenant: TenantContext) -> ProviderDirectory:
    return ProviderDirectory(runtime.tenant_table(tenant.tenant_id))


@router.get("/v1/identity-providers")
def list_identity_providers(tenant: TenantDep, runtime: RuntimeDep, page: PageDep) -> ListOf[AnyAnswer]:
    """List identity providers.

    Returns all identity providers of the tenant, oldest first.
    """
    scope = list_scope(tenant, "identity-providers")
    found = _directory(runtime, tenant).list(page_request(page, runtime.cursors, scope=scope))
    return render_page(found.map(render_provider), runtime.cursors, scope=scope)


@router.post("/v1/identity-providers", status_code=201, responses=problem_responses(409))
def create_identity_provider(
    body: IdentityProviderBody, tenant: TenantDep, runtime: RuntimeDep, base_url: BaseUrlDep, response: Response
) -> AnyAnswer:
    """Create an identity provider.

    The type `oidc` accepts tokens of your own issuer. The other types let people sign in with Google, GitHub or Slack.
    Returns 409 if the issuer and audience are already registered.
    """
    wanted = read_new(body)
    service = _service(runtime, tenant) if body.type == "oidc" else _clients(runtime, tenant)
    provider = service.create(wanted)
    response.headers["Location"] = f"{base_url}/v1/identity-providers/{provider.id}"
    return render_provider(provider)


@router.get("/v1/identity-providers/{provider_id}")
def get_identity_provider(provider_id: ProviderPath, tenant: TenantDep, runtime: RuntimeDep) -> AnyDetail:
    """Get an identity provider.

    For `oidc`, the response includes the state of the issuer's public keys.
    """
    provider = _directory(runtime, tenant).get(provider_id)
    if isinstance(provider, SocialClient):
        return render_client(provider)
    return render_detail(provider, KeySetStore(runtime.tenant_table(tenant.tenant_id)).get(provider))


@router.patch("/v1/identity-providers/{provider_id}", responses=problem_responses(409))
def update_identity_provider(
    provider_id: ProviderPath, body: IdentityProviderPatch, tenant: TenantDep, runtime: RuntimeDep
) -> AnyAnswer:
    """Update an identity provider.

    Absent fields are not changed. The change applies within 30 seconds.
    """
    provider = _directory(runtime, tenant).get(provider_id)
    if isinstance(provider, SocialClient):
        return render_client(_clients(runtime, tenant).change(provider, read_fields(body, oidc=False)))
    return render_provider(_service(runtime, tenant).change(provider_id, read_fields(body, oidc=True)))


@router.delete("/v1/identity-providers/{provider_id}", status_code=204, responses=problem_responses(409))
def delete_identity_provider(provider_id: ProviderPath, tenant: TenantDep, runtime: RuntimeDep) -> None:
    """Delete an identity provider.

    Tokens of the provider are rejected within 30 seconds. Users who signed in through the provider are not deleted.
    """
    provider = _directory(runtime, tenant).get(provider_id)
    if isinstance(provider, SocialClient):
        _clients(runtime, tenant).delete(provider)
    else:
        _service(runtime, tenant).delete(provider_id)
