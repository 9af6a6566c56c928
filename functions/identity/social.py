"""`GET /v1/auth/{provider}/authorize` and `/callback`: sign-in with Google, GitHub or Slack. The routes are public."""

import secrets
from typing import Annotated, Literal

from atrium.bootstrap import Runtime
from atrium.http.dependencies import RuntimeDep
from atrium.http.issuing import FamiliesDep, OriginDep, issuer_of
from atrium.http.middleware import HEAD_KEY
from atrium.http.responses import problem_responses
from atrium.identity.social.sign_in import BrowserBinding, SocialSignIn
from atrium.identity.social.state import STATE_SECONDS, StateSealer
from atrium.kernel.errors import MethodNotAllowed, NotFound, named_pattern
from atrium.kernel.ids import TenantId, is_id
from atrium.tenants.registry import TenantRegistry
from fastapi import APIRouter, Query, Request
from fastapi.responses import RedirectResponse

from functions.identity.flows import DescriptionDep, RedirectUri, ReturnedDep, StateText, cookie_name, open_flow
from functions.identity.token_models import TokenAnswer, render_tokens

router = APIRouter(tags=["identity"])

COOKIE = "atrium-sign-in"
Challenge = Annotated[
    str,
    Query(
        pattern=named_pattern(r"^[A-Za-z0-9_-]{43}$", "must be a base64url-encoded SHA-256 hash with 43 characters"),
    ),
]
Verifier = Annotated[
    str,
    Query(max_length=128, description="PKCE verifier of the `code_challenge` that started the sign-in. Default empty"),
]
TenantName = Annotated[str, Query(min_length=1, max_length=100, description="Id or name of the tenant to sign in to")]


def _service(runtime: Runtime, description: DescriptionDep, families: FamiliesDep) -> SocialSignIn:
    return SocialSignIn(
        description,
        runtime.tenant_table,
        lambda tenant_id, named: open_flow(runtime, tenant_id, named),
        StateSealer(runtime.secrets),
        runtime.social_profiles,
        families,
        runtime.clock,
    )


@router.get(
    "/v1/auth/{provider}/authorize",
    status_code=302,
    response_class=RedirectResponse,
    responses=problem_responses(404),
)
def authorize_sign_in(
    description: DescriptionDep,
    runtime: RuntimeDep,
    families: FamiliesDep,
    request: Request,
    tenant: TenantName,
    redirect_uri: RedirectUri = None,
    code_challenge: Annotated[
        Challenge | None,
        Query(description="PKCE challenge (S256), 43 characters. Default: a cookie identifies the browser"),
    ] = None,
    code_challenge_method: Annotated[
        Literal["S256"] | None, Query(description="Method of `code_challenge`: `S256`, which is the default")
    ] = None,
) -> RedirectResponse:
    """Start a sign-in.

    Redirects the browser to the provider, which then redirects the browser to `redirect_uri` with `code` and `state`.
    Returns 404 if the tenant has no enabled identity provider of this type.
    """
    del code_challenge_method
    cookie = "" if code_challenge else secrets.token_urlsafe(32)
    service = _service(runtime, description, families)
    url = service.authorize(_find_tenant(runtime, tenant), redirect_uri, challenge=code_challenge or "", cookie=cookie)
    answer = RedirectResponse(url, status_code=302)
    if cookie:
        issuer = issuer_of(request)
        answer.set_cookie(
            cookie_name(COOKIE, issuer), cookie, max_age=STATE_SECONDS, path="/",
            secure=not issuer.startswith("http://"), httponly=True, samesite="lax",
        )  # fmt: skip
    return answer


@router.get("/v1/auth/{provider}/callback", responses=problem_responses(400, 403, 404, 502))
def complete_sign_in(
    description: DescriptionDep,
    runtime: RuntimeDep,
    families: FamiliesDep,
    origin: OriginDep,
    returned: ReturnedDep,
    state: StateText,
    request: Request,
    code_verifier: Verifier = "",
) -> TokenAnswer:
    """Complete a sign-in.

    Exchanges the `code` and `state` from the redirect for tokens. Returns 403 if the person is not a user of the tenant
    and the identity provider does not create users. A state is valid once, for ten minutes.
    """
    if HEAD_KEY in request.scope:  # HEAD would consume the state without returning the tokens
        raise MethodNotAllowed(headers={"Allow": "GET"})
    proof = BrowserBinding(code_verifier, request.cookies.get(cookie_name(COOKIE, issuer_of(request)), ""))
    return render_tokens(_service(runtime, description, families).complete(state, returned, proof, origin))


def _find_tenant(runtime: Runtime, named: str) -> TenantId:
    if is_id(named, "ten"):
        return TenantId(named)
    marker = TenantRegistry(runtime.platform_table).find(named)
    if marker is None:
        raise NotFound("this provider is not configured for the tenant")
    return marker.tenant_id
