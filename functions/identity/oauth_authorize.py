"""`/oauth/authorize`: a user logs in and consents, and the client receives a code (RFC 6749 §4.1, RFC 9207)."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlencode

from atrium.http import logs
from atrium.http.dependencies import BaseUrlDep
from atrium.identity.clients.model import Client
from atrium.identity.oauth.failures import OAuthRefused
from atrium.identity.oauth.parameters import read_pairs
from atrium.identity.oauth.request import PARAMETERS, AuthorizationRequest, choose_redirect, read_request
from atrium.tenants.model import Tenant
from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response

from functions.identity.consent_login import verify_login
from functions.identity.consent_page import render_consent, render_fault
from functions.identity.consent_proof import COOKIE, HOLDS_SECONDS, is_proven, mint_nonce, prove_form
from functions.identity.flows import cookie_name
from functions.identity.oauth_answers import FORM_BYTES_MAX, is_form, oauth_endpoint
from functions.identity.oauth_services import OAuthServer, open_server

router = APIRouter(include_in_schema=False)
_OWN = frozenset({"csrf", "email", "password", "decision"})
_PAIRS_MAX = 50

type Pairs = list[tuple[str, str]]


@router.get("/oauth/authorize")
@oauth_endpoint
async def show_consent(request: Request, base: BaseUrlDep) -> Response:
    """Return the page on which a user logs in and consents."""
    pairs = _known(request.query_params.multi_items())
    server = open_server(request)
    return await run_in_threadpool(lambda: _Exchange(server, base, pairs).show(mint_nonce()))


@router.post("/oauth/authorize")
@oauth_endpoint
async def decide_consent(request: Request, base: BaseUrlDep) -> Response:
    """Process the user's decision and redirect them to the client."""
    body = await request.body()
    if not is_form(request) or len(body) > FORM_BYTES_MAX:
        return render_fault("The form is not valid.")
    try:
        fields = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=_PAIRS_MAX, errors="strict")
    except ValueError:
        return render_fault("The form is not valid.")
    own = {name: value for name, value in fields if name in _OWN}
    server = open_server(request)
    nonce = request.cookies.get(cookie_name(COOKIE, server.issuer), "")
    return await run_in_threadpool(lambda: _Exchange(server, base, _known(fields)).decide(nonce, own))


def _known(pairs: Pairs) -> Pairs:
    """Return only the OAuth parameters, so that no other parameter can replace a field of the form."""
    return [(name, value) for name, value in pairs if name in PARAMETERS]


@dataclass(frozen=True, slots=True)
class _ValidRequest:
    """The client, tenant and parameters of a valid authorization request."""

    client: Client
    tenant: Tenant
    wishes: AuthorizationRequest


@dataclass(frozen=True, slots=True)
class _Exchange:
    """One request to the consent page. `pairs` are the OAuth parameters exactly as the client sent them."""

    server: OAuthServer
    base: str
    pairs: Pairs

    def show(self, nonce: str, *, email: str = "", fault: str = "") -> Response:
        valid = self._read()
        if isinstance(valid, Response):
            return valid
        hidden = [*self.pairs, ("csrf", prove_form(self.server.runtime, nonce, self.pairs))]
        action = f"{self.base}/oauth/authorize"
        response = render_consent(
            action=action,
            client_name=valid.client.name,
            tenant_name=valid.tenant.display_name,
            redirect_uri=valid.wishes.redirect_uri,
            scopes=valid.wishes.scopes,
            hidden=hidden,
            email=email,
            fault=fault,
        )
        secure = not self.server.issuer.startswith("http://")
        name = cookie_name(COOKIE, self.server.issuer)
        response.set_cookie(name, nonce, max_age=HOLDS_SECONDS, httponly=True, samesite="strict", secure=secure)
        return response

    def decide(self, nonce: str, own: dict[str, str]) -> Response:
        valid = self._read()
        if isinstance(valid, Response):
            return valid
        if not is_proven(self.server.runtime, nonce, own.get("csrf", ""), self.pairs):
            return self.show(mint_nonce(), fault="The form was open for too long. Please try again.")
        if own.get("decision") != "allow":
            return self._refuse(valid.wishes.redirect_uri, OAuthRefused("access_denied", "the user denied access"))
        email = own.get("email", "")
        user = verify_login(self.server, valid.tenant, email, own.get("password", ""))
        if isinstance(user, str):
            return self.show(mint_nonce(), email=email, fault=user)
        try:
            code = self.server.consents.approve(valid.wishes, user, valid.tenant, self.server.origin)
        except OAuthRefused as refused:
            return self._refuse(valid.wishes.redirect_uri, refused)
        return self._send(valid.wishes.redirect_uri, {"code": code})

    def _read(self) -> _ValidRequest | Response:
        """Return the authorization request, or an error page if the request is not valid."""
        try:
            parameters = read_pairs(self.pairs)
            found = self.server.clients.find(parameters.need("client_id"))
            if found is None:
                return render_fault("The application that sent you here is not registered.")
            client, tenant = found
            redirect_uri = choose_redirect(parameters, client)
            wishes = read_request(parameters, client, redirect_uri, issuer=self.server.issuer)
        except OAuthRefused as refused:
            _log(refused)
            return render_fault(f"The request is not valid: {refused.description} ({refused.error}).")
        return _ValidRequest(client, tenant, wishes)

    def _refuse(self, redirect_uri: str, refused: OAuthRefused) -> Response:
        """Redirect the user to the client with an OAuth error."""
        _log(refused)
        return self._send(redirect_uri, {"error": refused.error, "error_description": refused.description})

    def _send(self, redirect_uri: str, answer: dict[str, Any]) -> Response:
        """Redirect the user to the client with `answer`, the client's `state` and this server's issuer (RFC 9207)."""
        state = _first(self.pairs, "state")
        wanted = {**answer, **({"state": state} if state else {}), "iss": self.server.issuer}
        separator = "&" if "?" in redirect_uri else "?"
        headers = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}
        response = RedirectResponse(redirect_uri + separator + urlencode(wanted), 303, headers)
        issuer = self.server.issuer
        response.delete_cookie(cookie_name(COOKIE, issuer), secure=not issuer.startswith("http://"))
        return response


def _first(pairs: Iterable[tuple[str, str]], name: str) -> str:
    return next((value for key, value in pairs if key == name), "")


def _log(refused: OAuthRefused) -> None:
    logs.logger().info("refused", code=refused.error, reason=refused.internal or refused.description)
