"""Serves the providers over HTTP. Paths begin with the provider's name: `/google/token` is Google's `/token`."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from infra.local.oauth_provider.accounts import Account, Issued
from infra.local.oauth_provider.answers import Answer, Answers

AUTHORIZE = {
    "google": ("/o/oauth2/v2/auth",),
    "github": ("/login/oauth/authorize",),
    "slack": ("/openid/connect/authorize", "/oauth/v2/authorize"),
}
TOKEN = {
    "google": ("/token",),
    "github": ("/login/oauth/access_token",),
    "slack": ("/api/openid.connect.token", "/api/oauth.v2.access"),
}
KEYS = {"google": "/oauth2/v3/certs", "slack": "/openid/connect/keys"}
USER_INFO = {"github": ("/user", "/user/emails"), "slack": ("/api/openid.connect.userInfo", "")}

type Script = Callable[[BaseHTTPRequestHandler], None]


@dataclass
class OAuthProvider:
    """The emulated providers.

    `scripts` replaces the responses of individual paths. If `error` is set, consent returns this error instead of a
    code. `asked` contains the requested paths.
    """

    answers: Answers = field(default_factory=Answers)
    account: Account = field(default_factory=Account)
    url: str = ""
    error: str = ""
    scripts: dict[str, Script] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def handle(self, handler: BaseHTTPRequestHandler) -> None:
        parts = urlsplit(handler.path)
        self.asked.append(parts.path)
        script = self.scripts.get(parts.path)
        if script is not None:
            script(handler)
            return
        _, provider, rest = (*parts.path.split("/", 2), "", "")[:3]
        answer = self._answer(handler, provider, f"/{rest}", dict(parse_qsl(parts.query)))
        handler.send_response(answer.status)
        for name, value in {**answer.headers, "content-length": str(len(answer.body))}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(answer.body)

    def _answer(self, handler: BaseHTTPRequestHandler, provider: str, path: str, query: dict[str, str]) -> Answer:
        if provider == "oidc":
            return self._issue(handler, path)
        if path in AUTHORIZE.get(provider, ()):
            return self._consent(provider, query)
        if path in TOKEN.get(provider, ()) and handler.command == "POST":
            fields = _read_form(handler)
            connecting = path == "/api/oauth.v2.access" or provider != "slack"
            return self.answers.token(provider, fields, connecting=connecting, accept=handler.headers.get("accept", ""))
        if path == KEYS.get(provider):
            return self.answers.certificates()
        if path in USER_INFO.get(provider, ()):
            token = handler.headers.get("authorization", "").removeprefix("Bearer ")
            issued = self.answers.token_store.access.get(token)
            return self.answers.user_info(provider, issued, emails=path.endswith("/emails"))
        return Answer(404)

    def _issue(self, handler: BaseHTTPRequestHandler, path: str) -> Answer:
        issuer = f"{self.url}/oidc"
        match handler.command, path:
            case "GET", "/.well-known/openid-configuration":
                return self.answers.discovery(issuer)
            case "GET", "/keys":
                return self.answers.certificates()
            case "POST", "/token":
                return self.answers.issue_token(issuer, _read_form(handler))
            case _:
                return Answer(404)

    def _consent(self, provider: str, query: dict[str, str]) -> Answer:
        known = query.get("client_id") in self.answers.token_store.clients and query.get("response_type") == "code"
        if not known or query.get("code_challenge_method", "S256") != "S256" or "redirect_uri" not in query:
            return Answer(400)
        back = {"state": query.get("state", "")}
        if self.error:
            back |= {"error": self.error, "error_description": "No."}
        else:
            scopes = query.get("scope") or query.get("user_scope", "")
            issued = Issued(
                provider, self.account, query["client_id"], query["redirect_uri"], query.get("code_challenge", ""),
                query.get("nonce", ""), tuple(scopes.replace(",", " ").split()),
            )  # fmt: skip
            back["code"] = self.answers.token_store.issue_code(issued)
            if provider == "google":
                back |= {"scope": scopes, "authuser": "0", "prompt": "consent"}
        return Answer(302, b"", {"location": f"{query['redirect_uri']}?{urlencode(back)}"})


def _read_form(handler: BaseHTTPRequestHandler) -> dict[str, str]:
    length = int(handler.headers.get("content-length", "0"))
    return dict(parse_qsl(handler.rfile.read(length).decode()))


@contextmanager
def running(provider: OAuthProvider | None = None, port: int = 0) -> Iterator[OAuthProvider]:
    """Serve the providers on 127.0.0.1 until the context ends."""
    served = provider or OAuthProvider()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            served.handle(self)

        def do_POST(self) -> None:
            served.handle(self)

        def log_message(self, format: str, *args: Any) -> None:
            """Do not log requests."""

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    served.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield served
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()
