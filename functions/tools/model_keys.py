"""`/v1/model-keys`: the tenant's own API keys for model providers."""

from typing import Annotated, Literal

from atrium.bootstrap import Runtime
from atrium.http.dependencies import RuntimeDep, TenantDep, require
from atrium.http.models import StrictModel
from atrium.http.responses import problem_responses
from atrium.kernel.clock import format_time
from atrium.kernel.errors import named_pattern
from atrium.settings import MODEL_VENDORS
from atrium.tenants.auditing import open_audit
from atrium.tenants.context import TenantContext
from atrium.tenants.model_keys.model import KEY_CHARACTERS_MAX, KEY_CHARACTERS_MIN, ModelKey
from atrium.tenants.model_keys.service import ModelKeyService
from atrium.tenants.model_keys.store import ModelKeyStore
from fastapi import APIRouter, Path
from pydantic import Field

_VISIBLE = named_pattern(r"^[\x21-\x7e]+$", "must contain only visible ASCII characters")
ProviderPath = Annotated[
    str, Path(pattern=rf"^({'|'.join(MODEL_VENDORS)})$", description="Model provider: `anthropic`, `openai` or `zhipu`")
]

router = APIRouter(tags=["model keys"], dependencies=[require("admin")])


class ModelKeyBody(StrictModel):
    """An API key of a model provider."""

    key: Annotated[str, Field(min_length=KEY_CHARACTERS_MIN, max_length=KEY_CHARACTERS_MAX, pattern=_VISIBLE)]
    """The API key, 20 to 500 visible ASCII characters. It is encrypted, and no response contains it."""


class RejectionAnswer(StrictModel):
    """The first time that the provider rejected the key during a turn."""

    provider_status: int
    """HTTP status of the provider's response: 401 or 403."""
    model: str
    """Id of the model that was called."""
    at: str
    """When the provider rejected the key (RFC 3339, UTC)."""


class ModelKeyAnswer(StrictModel):
    """The tenant's API key for a model provider, without the key."""

    provider: str
    """The model provider: `anthropic`, `openai` or `zhipu`."""
    prefix: str
    """The first seven and the last four characters of the key, by which you recognise it."""
    status: Literal["valid", "rejected"]
    """`valid`, or `rejected` if the provider has rejected the key during a turn since it was set."""
    checked_at: str
    """When the provider accepted the key (RFC 3339, UTC). A key is checked when it is set."""
    last_error: RejectionAnswer | None
    """The rejection, if `status` is `rejected`. Null otherwise."""
    created_at: str
    """When a key was first set for the provider (RFC 3339, UTC)."""
    updated_at: str
    """When the key was last set (RFC 3339, UTC)."""


class ModelKeys(StrictModel):
    """The tenant's model keys. The list is complete and is not paged."""

    data: list[ModelKeyAnswer]
    """At most one key for each provider."""


def _service(runtime: Runtime, tenant: TenantContext) -> ModelKeyService:
    table = runtime.tenant_table(tenant.tenant_id)
    return ModelKeyService(
        ModelKeyStore(table),
        runtime.secret_encryption(tenant.tenant_id),
        open_audit(tenant, table, runtime.clock),
        runtime.clock,
        runtime.providers.with_key,
    )


@router.get("/v1/model-keys")
def list_model_keys(tenant: TenantDep, runtime: RuntimeDep) -> ModelKeys:
    """List the model keys.

    Returns the providers for which the tenant has an API key of its own, without the keys.
    """
    return ModelKeys(data=[_render(key) for key in _service(runtime, tenant).list()])


@router.put("/v1/model-keys/{provider}", responses=problem_responses(409, 504))
def set_model_key(provider: ProviderPath, body: ModelKeyBody, tenant: TenantDep, runtime: RuntimeDep) -> ModelKeyAnswer:
    """Set or replace a model key.

    The provider checks the key first, with a call without cost. Returns 422 if the provider rejects it. If the provider
    cannot check it, returns 503 `MODEL_KEY_UNCHECKED` or 504, and nothing is stored. The key is used from the next turn
    on.
    """
    return _render(_service(runtime, tenant).put(provider, body.key))


@router.delete("/v1/model-keys/{provider}", status_code=204, responses=problem_responses(404, 409))
def delete_model_key(provider: ProviderPath, tenant: TenantDep, runtime: RuntimeDep) -> None:
    """Delete a model key.

    From the next turn on, the provider's models use the platform's key, or their calls are rejected with
    `MODEL_KEY_REQUIRED` if the setting `platform_model_key` is false. Returns 404 if the tenant has no key for the
    provider.
    """
    _service(runtime, tenant).delete(provider)


def _render(key: ModelKey) -> ModelKeyAnswer:
    rejection = key.rejection
    return ModelKeyAnswer(
        provider=key.provider,
        prefix=key.prefix,
        status=key.status,
        checked_at=format_time(key.checked_at),
        last_error=RejectionAnswer(
            provider_status=rejection.provider_status, model=rejection.model, at=format_time(rejection.at)
        )
        if rejection
        else None,
        created_at=format_time(key.created_at),
        updated_at=format_time(key.updated_at),
    )
