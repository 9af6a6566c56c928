"""Builds the responses of each provider, which differ in status, format and members for the same operation."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from infra.local.oauth_provider.accounts import Account, Issued, Refusal, TokenStore

ISSUERS = {"google": "https://accounts.google.com", "slack": "https://slack.com"}
BAD_CODES = {"google": "invalid_grant", "github": "bad_verification_code", "slack": "invalid_code"}
BAD_TOKENS = {"google": "invalid_grant", "github": "bad_refresh_token", "slack": "invalid_refresh_token"}


@dataclass(frozen=True)
class Answer:
    """An HTTP response."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


def json_answer(status: int, content: Any) -> Answer:
    return Answer(status, json.dumps(content).encode(), {"content-type": "application/json; charset=utf-8"})


@dataclass
class Answers:
    """Builds all responses. `seconds` is the lifetime of access tokens.

    If `rotates` is true, each use of a refresh token replaces the token. If `as_form` is true, GitHub's responses are
    form-encoded even if the client accepts JSON.
    """

    token_store: TokenStore = field(default_factory=TokenStore)
    now: Callable[[], float] = time.time
    seconds: int = 3_600
    rotates: bool = True
    as_form: bool = False
    key: rsa.RSAPrivateKey = field(default_factory=lambda: rsa.generate_private_key(65_537, 2048))

    def token(self, provider: str, fields: dict[str, str], *, connecting: bool, accept: str) -> Answer:
        try:
            if fields.get("grant_type") == "refresh_token":
                issued, following = self.token_store.renew(fields, BAD_TOKENS[provider], rotates=self.rotates)
            else:
                issued = self.token_store.redeem(provider, fields, BAD_CODES[provider])
                following = self.token_store.issue_refresh(issued) if connecting or provider == "github" else ""
        except Refusal as refusal:
            return self._refuse(provider, refusal.code, accept)
        given = self._grant(provider, issued, following)
        if provider == "slack":
            return json_answer(200, self._of_slack(issued, given, connecting=connecting and "code" in fields))
        return self._send(provider, 200, given, accept)

    def certificates(self) -> Answer:
        public = RSAAlgorithm.to_jwk(self.key.public_key(), as_dict=True)
        return json_answer(200, {"keys": [{**public, "kid": "local-1", "use": "sig", "alg": "RS256"}]})

    def discovery(self, issuer: str) -> Answer:
        """Return the discovery document of the issuer `/oidc`."""
        return json_answer(200, {"issuer": issuer, "jwks_uri": f"{issuer}/keys", "token_endpoint": f"{issuer}/token"})

    def issue_token(self, issuer: str, fields: dict[str, str]) -> Answer:
        """Return a token of the issuer for the audience in the field `audience`. Other fields replace or add claims."""
        audience = fields.pop("audience", "")
        if not audience:
            return json_answer(
                400, {"error": "invalid_request", "error_description": "The field `audience` is missing"}
            )
        issued = Issued("oidc", Account(), audience)
        claims = self._claims(issuer, issued) | fields
        return json_answer(200, {"access_token": self._sign(claims), "token_type": "Bearer", "expires_in": 3_600})

    def user_info(self, provider: str, issued: Issued | None, *, emails: bool) -> Answer:
        if provider == "slack":
            return json_answer(
                200, {"ok": False, "error": "invalid_auth"} if issued is None else _slack_user(issued.account)
            )
        if issued is None:
            return json_answer(401, {"message": "Requires authentication"})
        account = issued.account
        if emails:
            own = {"email": account.email, "primary": True, "verified": account.email_verified, "visibility": None}
            return json_answer(200, [{"email": "x@users.noreply.example", "primary": False, "verified": True}, own])
        return json_answer(200, {"login": "ada", "id": 583_231, "name": account.name, "email": None})

    def _grant(self, provider: str, issued: Issued, following: str) -> dict[str, Any]:
        separator = "," if provider == "github" else " "
        found: dict[str, Any] = {
            "access_token": self.token_store.issue_access(issued),
            "token_type": "bearer" if provider == "github" else "Bearer",
            "scope": separator.join(issued.scopes),
            "expires_in": self.seconds,
        }
        if following:
            found["refresh_token"] = following
        if provider in ISSUERS and "openid" in issued.scopes:
            found["id_token"] = self._id_token(provider, issued)
        return found

    def _of_slack(self, issued: Issued, given: dict[str, Any], *, connecting: bool) -> dict[str, Any]:
        if not connecting:
            return {"ok": True, **given}
        user = {**given, "id": issued.account.subject, "scope": ",".join(issued.scopes), "token_type": "user"}
        return {"ok": True, "app_id": "A1", "team": {"id": "T1"}, "authed_user": user}

    def _id_token(self, provider: str, issued: Issued) -> str:
        claims = self._claims(ISSUERS[provider], issued)
        return self._sign({**claims, "azp": issued.client_id, "nonce": issued.nonce})

    def _claims(self, issuer: str, issued: Issued) -> dict[str, Any]:
        at, account = int(self.now()), issued.account
        return {
            "iss": issuer,
            "aud": issued.client_id,
            "sub": account.subject,
            "email": account.email,
            "email_verified": account.email_verified,
            "name": account.name,
            "iat": at,
            "exp": at + 3_600,
        }

    def _sign(self, claims: dict[str, Any]) -> str:
        return jwt.encode(claims, self.key, "RS256", {"kid": "local-1"})

    def _refuse(self, provider: str, code: str, accept: str) -> Answer:
        if provider == "slack":
            return json_answer(200, {"ok": False, "error": code})
        content = {"error": code, "error_description": "It did not work."}
        status = 200 if provider == "github" else 401 if code == "invalid_client" else 400
        return self._send(provider, status, content, accept)

    def _send(self, provider: str, status: int, content: dict[str, Any], accept: str) -> Answer:
        if provider == "github" and (self.as_form or "json" not in accept):
            body = urlencode(content).encode()
            return Answer(status, body, {"content-type": "application/x-www-form-urlencoded; charset=utf-8"})
        return json_answer(status, content)


def _slack_user(account: Account) -> dict[str, Any]:
    return {
        "ok": True,
        "sub": account.subject,
        "https://slack.com/user_id": account.subject,
        "https://slack.com/team_id": "T1",
        "email": account.email,
        "email_verified": account.email_verified,
        "name": account.name,
    }
