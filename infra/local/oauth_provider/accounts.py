"""The account that signs in, and the codes, access tokens and refresh tokens that were issued."""

import hashlib
import secrets
from base64 import urlsafe_b64encode
from dataclasses import dataclass, field
from typing import Literal

type Name = Literal["google", "github", "slack"]


@dataclass(frozen=True)
class Account:
    """A user account at the providers."""

    subject: str = "10769150350006150715"
    email: str = "ada@acme.example"
    email_verified: bool = True
    name: str = "Ada Lovelace"


@dataclass(frozen=True)
class Issued:
    """The account, client and parameters for which a code or token was issued."""

    provider: str
    account: Account
    client_id: str
    redirect_uri: str = ""
    challenge: str = ""
    nonce: str = ""
    scopes: tuple[str, ...] = ()


class Refusal(Exception):
    """Raised for an OAuth error. `code` is the error code in the response."""

    def __init__(self, code: str) -> None:
        self.code = code
        super().__init__(code)


@dataclass
class TokenStore:
    """Stores the issued codes and tokens, and the clients' secrets by client id."""

    clients: dict[str, str] = field(default_factory=lambda: {"local-client": "local-secret"})
    codes: dict[str, Issued] = field(default_factory=dict)
    access: dict[str, Issued] = field(default_factory=dict)
    refresh: dict[str, Issued] = field(default_factory=dict)

    def issue_code(self, issued: Issued) -> str:
        code = secrets.token_urlsafe(24)
        self.codes[code] = issued
        return code

    def redeem(self, provider: str, fields: dict[str, str], bad_code: str) -> Issued:
        """Return the grant of an authorization code and invalidate the code.

        Raises Refusal if the code is unknown, or if the provider, client, redirect URI or verifier differs.
        """
        self._check_client(fields)
        issued = self.codes.pop(fields.get("code", ""), None)
        verifier = fields.get("code_verifier", "")
        digest = urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        if issued is None or issued.provider != provider or issued.client_id != fields.get("client_id"):
            raise Refusal(bad_code)
        if issued.redirect_uri != fields.get("redirect_uri") or (issued.challenge and issued.challenge != digest):
            raise Refusal(bad_code)
        return issued

    def renew(self, fields: dict[str, str], bad_token: str, *, rotates: bool) -> tuple[Issued, str]:
        """Return the grant of a refresh token and the new refresh token, which is empty unless `rotates` is true.

        Raises Refusal if the client or the token is unknown.
        """
        self._check_client(fields)
        shown = fields.get("refresh_token", "")
        issued = self.refresh.get(shown)
        if issued is None:
            raise Refusal(bad_token)
        if not rotates:
            return issued, ""
        del self.refresh[shown]
        return issued, self.issue_refresh(issued)

    def issue_access(self, issued: Issued) -> str:
        token = f"at-{secrets.token_urlsafe(24)}"
        self.access[token] = issued
        return token

    def issue_refresh(self, issued: Issued) -> str:
        token = f"rt-{secrets.token_urlsafe(24)}"
        self.refresh[token] = issued
        return token

    def _check_client(self, fields: dict[str, str]) -> None:
        expected = self.clients.get(fields.get("client_id", ""))
        if expected is None or expected != fields.get("client_secret"):
            raise Refusal("invalid_client")
