"""Parameters, dependencies and helpers that the sign-in and connection routes share."""

from typing import Annotated

from atrium.bootstrap import Runtime
from atrium.http.dependencies import RuntimeDep
from atrium.identity.social.descriptions import Description, describe
from atrium.identity.social.flow import CODE_MAX, Flow, Returned
from atrium.identity.social.service import ClientKeeper
from atrium.identity.social.state import STATE_MAX, StateSealer
from atrium.identity.social.store import SocialClientStore
from atrium.kernel.errors import NotFound
from atrium.kernel.ids import TenantId
from fastapi import Depends, Path, Query

Provider = Annotated[str, Path(pattern="^[a-z]{1,32}$", description="The provider: `google`, `github` or `slack`")]
RedirectUri = Annotated[
    str | None,
    Query(
        max_length=500,
        description="Registered redirect URI to which the browser returns. Default: the first registered redirect URI",
    ),
]
StateText = Annotated[
    str,
    Query(
        min_length=1,
        max_length=STATE_MAX,
        description="The `state` of the redirect. A state is valid once, for ten minutes",
    ),
]
Code = Annotated[
    str,
    Query(
        max_length=CODE_MAX,
        description="The `code` of the redirect. Empty, the default, if the provider returned an error",
    ),
]
ErrorCode = Annotated[
    str, Query(max_length=256, description="Error code that the provider sent instead of `code`. Default: empty")
]
Ignored = Annotated[str, Query(max_length=2_048, description="Parameter that some providers send. It is ignored")]


def cookie_name(name: str, issuer: str) -> str:
    """Return the name of a browser-binding cookie. With HTTPS, the prefix `__Host-` binds the cookie to this host."""
    return name if issuer.startswith("http://") else f"__Host-{name}"


async def get_description(provider: Provider, runtime: RuntimeDep) -> Description:
    found = describe(provider, runtime.settings.oauth_provider_url)
    if found is None:
        raise NotFound("provider not found")
    return found


async def read_returned(
    code: Code = "",
    error: ErrorCode = "",
    error_description: Ignored = "",
    error_uri: Ignored = "",
    scope: Ignored = "",
    authuser: Ignored = "",
    prompt: Ignored = "",
    hd: Ignored = "",
    iss: Ignored = "",
    session_state: Ignored = "",
) -> Returned:
    """Return the `code` and `error` of a provider's redirect. The other parameters of the redirect are ignored."""
    del error_description, error_uri, scope, authuser, prompt, hd, iss, session_state
    return Returned(code, error)


DescriptionDep = Annotated[Description, Depends(get_description)]
ReturnedDep = Annotated[Returned, Depends(read_returned)]


def open_flow(runtime: Runtime, tenant_id: TenantId, description: Description) -> Flow:
    """Return an authorization flow for the tenant's client at a provider. Raises `NotFound` if no client is enabled."""
    store = SocialClientStore(runtime.tenant_table(tenant_id))
    keeper = ClientKeeper(store, runtime.secret_encryption(tenant_id), runtime.secrets.platform_client)
    client = keeper.find(description.name)
    return Flow(
        description,
        client,
        keeper.client_id(client),
        lambda: keeper.credentials(client),
        StateSealer(runtime.secrets),
        runtime.egress,
    )
