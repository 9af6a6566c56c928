"""`GET /v1/models`: the models that the caller may use, in a superset of OpenAI's format or in Anthropic's."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Literal

from atrium.bootstrap import Runtime
from atrium.http.dependencies import RuntimeDep, TenantDep
from atrium.http.guarding import open_guard
from atrium.http.models import StrictModel, read_decimal_text
from atrium.kernel.clock import format_time
from atrium.kernel.errors import invalid_field
from atrium.kernel.pagination import LIMIT_DEFAULT
from atrium.llm.catalogue import MODELS, ModelInfo, Price, Rates, find_price, released_at
from atrium.quotas.limits import moment
from atrium.storage.table import TenantTable
from atrium.tenants.context import KeySource, KeyUse, TenantContext
from atrium.tenants.plans import PLANS
from atrium.tenants.store import TenantStore
from fastapi import APIRouter, Header, Query
from pydantic import BeforeValidator

router = APIRouter(tags=["models"])


class RatesAnswer(StrictModel):
    """Prices in USD per million tokens, as decimal text."""

    input: str
    """Input tokens that were neither read from nor written to the provider's cache."""
    output: str
    """Output tokens, including thinking."""
    cache_read: str
    """Input tokens read from the provider's cache."""
    cache_write: str
    """Input tokens written to the provider's cache."""


class LongPromptPrice(RatesAnswer):
    """The prices of a call whose prompt is longer than `above_tokens`. They apply to all its tokens."""

    above_tokens: int
    """The number of prompt tokens, cached tokens included, above which these prices apply."""


class PriceAnswer(RatesAnswer):
    """The current prices of a model."""

    long_prompt: LongPromptPrice | None
    """The prices of long prompts. Null if all prompts have the same prices."""


class ModelAnswer(StrictModel):
    """A model that the caller may use."""

    id: str
    """The value of `model` in a chat request or an agent."""
    object: Literal["model"] = "model"
    """Always `model`."""
    created: int
    """When the model was first offered, in seconds since 1970."""
    owned_by: str
    """The vendor, the same as `provider`."""
    provider: str
    """The value of `provider` in a chat request or an agent."""
    display_name: str
    """The name of the model for people."""
    size: Literal["small", "medium", "large"]
    """The size class, which determines the plans that include the model."""
    context_tokens: int
    """Maximum number of tokens of a prompt together with its answer."""
    max_output_tokens: int
    """Maximum number of tokens of an answer."""
    accepts_images: bool
    """Whether messages may contain images."""
    accepts_temperature: bool
    """Whether an agent with this model may set a `temperature`."""
    key: Literal["tenant", "platform"]
    """Whose API key is used: the `tenant`'s own, or the `platform`'s."""
    price: PriceAnswer
    """The current prices."""


class ModelList(StrictModel):
    """The models that the caller may use. The list is complete and is not paged."""

    object: Literal["list"] = "list"
    """Always `list`."""
    data: list[ModelAnswer]
    """The models, by vendor and size."""


class VendorModel(StrictModel):
    """A model in Anthropic's format."""

    type: Literal["model"] = "model"
    """Always `model`."""
    id: str
    """The value of `model` in a request."""
    display_name: str
    """The name of the model for people."""
    created_at: str
    """When the model was first offered (RFC 3339, UTC)."""


class VendorModelList(StrictModel):
    """A page of the models that the caller may use, in Anthropic's format."""

    data: list[VendorModel]
    """The models of this page, newest first."""
    has_more: bool
    """Whether there are more models in the direction of the page."""
    first_id: str | None
    """Id of the first model of this page, for `before_id`. Null if the page is empty."""
    last_id: str | None
    """Id of the last model of this page, for `after_id`. Null if the page is empty."""


@router.get("/v1/models")
def list_models(
    tenant: TenantDep,
    runtime: RuntimeDep,
    anthropic_version: Annotated[
        str | None, Header(max_length=64, description="Any value: the response has Anthropic's format")
    ] = None,
    limit: Annotated[
        int,
        Query(ge=1, le=1000, description="Models of a page in Anthropic's format, 1 to 1000. Default 20"),
        BeforeValidator(read_decimal_text),
    ] = LIMIT_DEFAULT,
    after_id: Annotated[
        str | None, Query(max_length=128, description="Only with Anthropic's format: models after this one")
    ] = None,
    before_id: Annotated[
        str | None, Query(max_length=128, description="Only with Anthropic's format: models before this one")
    ] = None,
) -> ModelList | VendorModelList:
    """List the models that the caller may use.

    The plan of the tenant includes them by size, the tenant's policies allow the caller to use `model:{id}`, and the
    tenant or the platform has an API key for their provider. A credential without the scope `chat` or `jobs:write` gets
    an empty list, unless a policy of the tenant allows it to use models. The format is OpenAI's with more fields or,
    with the header `anthropic-version`, Anthropic's.
    """
    found = _find(tenant, runtime)
    if anthropic_version is None:
        given = [name for name, value in (("after_id", after_id), ("before_id", before_id)) if value is not None]
        if given:
            raise invalid_field(given[0], "is accepted only with the header `anthropic-version`", place="query")
        return ModelList(data=found)
    if after_id is not None and before_id is not None:
        raise invalid_field("before_id", "must not be sent together with `after_id`", place="query")
    newest = sorted(found, key=lambda model: -model.created)
    return _page(newest, limit, after_id, before_id)


def _page(models: Sequence[ModelAnswer], limit: int, after_id: str | None, before_id: str | None) -> VendorModelList:
    ids = [model.id for model in models]
    for name, given in (("after_id", after_id), ("before_id", before_id)):
        if given is not None and given not in ids:
            raise invalid_field(name, "must be the id of a model of this list", place="query")
    rest = models[ids.index(after_id) + 1 :] if after_id else models
    rest = rest[: ids.index(before_id)] if before_id else rest
    page = rest[-limit:] if before_id else rest[:limit]
    shown = [
        VendorModel(id=each.id, display_name=each.display_name, created_at=format_time(moment(each.created)))
        for each in page
    ]
    first, last = (page[0].id, page[-1].id) if page else (None, None)
    return VendorModelList(data=shown, has_more=len(rest) > len(page), first_id=first, last_id=last)


def _find(tenant: TenantContext, runtime: Runtime) -> list[ModelAnswer]:
    """Return the models that the caller may use, by vendor and size."""
    guard, now = open_guard(runtime, tenant), runtime.clock()
    included = [model for model in MODELS.values() if model.size in PLANS[tenant.plan].models]
    allowed = [model for model in included if guard.evaluate(f"model:{model.id}").allowed]
    sources = _key_sources(runtime, guard.table, {model.vendor for model in allowed})
    return [_render(model, source, now) for model in allowed if (source := sources[model.vendor])]


def _key_sources(runtime: Runtime, table: TenantTable, providers: set[str]) -> dict[str, KeySource | None]:
    """Return whose API key is used for each provider, or None if there is no key."""
    item = TenantStore(table).get() if providers else None
    key_use = KeyUse.of(item.own_model_keys, item.settings) if item else KeyUse()
    sources = {provider: key_use.source(provider) for provider in providers}
    return {
        provider: source if source != "platform" or runtime.providers.has_key(provider) else None
        for provider, source in sources.items()
    }


def _render(model: ModelInfo, key: KeySource, now: datetime) -> ModelAnswer:
    return ModelAnswer(
        id=model.id,
        created=int(released_at(model.id).timestamp()),
        owned_by=model.vendor,
        provider=model.vendor,
        display_name=model.display_name,
        size=model.size,
        context_tokens=model.context_tokens,
        max_output_tokens=model.output_tokens_max,
        accepts_images=model.accepts_images,
        accepts_temperature=model.accepts_temperature,
        key=key,
        price=_render_price(find_price(model.id, now)),
    )


def _render_price(price: Price) -> PriceAnswer:
    long = None
    if price.long_prompt_tokens is not None and price.long_rates is not None:
        long = LongPromptPrice(above_tokens=price.long_prompt_tokens, **_render_rates(price.long_rates))
    return PriceAnswer(**_render_rates(price.rates), long_prompt=long)


def _render_rates(rates: Rates) -> dict[str, str]:
    return {name: str(getattr(rates, name)) for name in RatesAnswer.model_fields}
