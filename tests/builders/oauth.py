"""OAuth clients of a deployment, and a browser that uses the consent page."""

import base64
import hashlib
import re
from dataclasses import dataclass, field
from html import unescape
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from atrium.identity.clients.model import IssuedClient
from atrium.identity.clients.service import ClientService
from atrium.identity.clients.store import ClientStore
from atrium.tenants.auditing import open_audit
from atrium.tenants.context import Caller, Principal, TenantContext
from starlette.testclient import TestClient

from tests.builders.deployments import PASSWORD
from tests.builders.logins import Logins

CALLBACK = "https://client.example/callback"
VERIFIER = "a-verifier-of-the-tests-that-is-long-enough-for-rfc-7636"
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
FORM = {"content-type": "application/x-www-form-urlencoded"}
_HIDDEN = re.compile(r'<input type="hidden" name="([^"]*)" value="([^"]*)">')


def make_client(logins: Logins, **fields: Any) -> IssuedClient:
    """Create an OAuth client as the tenant's admin. `fields` replace the default fields."""
    runtime, tenant = logins.deployment.runtime, logins.made.tenant
    principal = Principal("user", logins.admin.id, "admin", frozenset({"admin"}), "admin")
    context = TenantContext(tenant.id, tenant.name, tenant.plan, 1, Caller(principal, "request-1"))
    table = runtime.tenant_table(tenant.id)
    audit = open_audit(context, table, runtime.clock)
    service = ClientService(context, ClientStore(table), audit, runtime.secrets, runtime.clock)
    wanted: dict[str, Any] = {
        "name": "A <client>",
        "type": "confidential",
        "grant_types": ["client_credentials", "authorization_code", "refresh_token"],
        "redirect_uris": [CALLBACK],
        "scopes": ["chat", "sessions:read"],
        **fields,
    }
    return service.create(wanted.pop("name"), wanted.pop("type"), **wanted)


def basic(issued: IssuedClient, secret: str | None = None) -> dict[str, str]:
    text = f"{issued.client.id}:{issued.secret if secret is None else secret}"
    return {"authorization": "Basic " + base64.b64encode(text.encode()).decode()}


@dataclass
class Browser:
    """A browser at the consent page. `client` is its HTTP client, which stores the cookies."""

    logins: Logins
    issued: IssuedClient
    client: TestClient = field(init=False)

    def __post_init__(self) -> None:
        self.client = self.logins.client()
        self.client.headers.pop("authorization", None)
        self.client.follow_redirects = False

    def request(self, **changes: str | None) -> dict[str, str]:
        """Return the parameters of a valid authorization request. A change to None removes a parameter."""
        wanted: dict[str, str | None] = {
            "response_type": "code",
            "client_id": self.issued.client.id,
            "redirect_uri": CALLBACK,
            "scope": "chat openid",
            "state": "a state & more",
            "code_challenge": CHALLENGE,
            "code_challenge_method": "S256",
            **changes,
        }
        return {name: value for name, value in wanted.items() if value is not None}

    def open(self, **changes: str | None) -> Any:
        return self.client.get("/oauth/authorize", params=self.request(**changes))

    def decide(self, page: Any, **changes: str) -> Any:
        """Fill in the form of a consent page and submit it. By default, the tenant's admin allows the request."""
        hidden = {unescape(name): unescape(value) for name, value in _HIDDEN.findall(page.text)}
        own = {"email": self.logins.admin.email, "password": PASSWORD, "decision": "allow"}
        return self.client.post("/oauth/authorize", content=urlencode({**hidden, **own, **changes}), headers=FORM)

    def agree(self, **changes: str | None) -> str:
        """Log in and consent as the tenant's admin. Return the authorization code."""
        answer = read_answer(self.decide(self.open(**changes)))
        return answer["code"]

    def token(self, headers: dict[str, str] | None = None, /, **form: str) -> Any:
        proof = basic(self.issued) if headers is None else headers
        return self.client.post("/oauth/token", content=urlencode(form), headers={**FORM, **proof})

    def exchange(self, code: str, **changes: str) -> Any:
        wanted = {"grant_type": "authorization_code", "code": code, "redirect_uri": CALLBACK, "code_verifier": VERIFIER}
        return self.token(**{**wanted, **changes})


def read_answer(response: Any) -> dict[str, str]:
    """Assert that a response redirects to the client, and return the query parameters of the redirect."""
    assert response.status_code == 303, response.text
    return {name: values[0] for name, values in parse_qs(urlsplit(response.headers["location"]).query).items()}
