"""An OIDC issuer on 127.0.0.1: discovery, a JWK Set, signed tokens, and scripted responses."""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

AUDIENCE = "https://atrium.example/acme"
DISCOVERY = "/.well-known/openid-configuration"
KEYS = "/keys"

type Script = Callable[[BaseHTTPRequestHandler], None]


@cache
def rsa_key(name: str, bits: int = 2048) -> rsa.RSAPrivateKey:
    """Return the RSA key with this name. Each key is created once per process."""
    del name
    return rsa.generate_private_key(65_537, bits)


@cache
def ec_key(name: str) -> ec.EllipticCurvePrivateKey:
    del name
    return ec.generate_private_key(ec.SECP256R1())


def public_jwk(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, kid: str, **members: Any) -> dict[str, Any]:
    """Return the public key as the JWK that an issuer publishes. `members` are added to the JWK."""
    if isinstance(key, rsa.RSAPrivateKey):
        found = RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
        return {**found, "kid": kid, "use": "sig", "alg": "RS256", **members}
    return {**ECAlgorithm.to_jwk(key.public_key(), as_dict=True), "kid": kid, "use": "sig", "alg": "ES256", **members}


def say(status: int, body: object = b"", **headers: str) -> Script:
    """Return a script that sends this response. In the names of `headers`, write `_` for `-`."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in {"content-length": str(len(raw)), **headers}.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(raw)

    return answer


@dataclass
class Issuer:
    """An OIDC issuer.

    `published` contains its public keys by `kid`. `scripts` contains responses by path, which replace the default ones.
    """

    url: str = ""
    published: dict[str, dict[str, Any]] = field(default_factory=dict)
    scripts: dict[str, Script] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        path = handler.path
        self.asked.append(path)
        documents = {
            DISCOVERY: {"issuer": self.url, "jwks_uri": f"{self.url}{KEYS}"},
            KEYS: {"keys": list(self.published.values())},
        }
        script = self.scripts.get(path) or (say(200, documents[path]) if path in documents else say(404))
        script(handler)

    def publish(self, kid: str = "one") -> None:
        self.published[kid] = public_jwk(rsa_key(kid), kid)

    def claims(self, now: datetime, **changes: Any) -> dict[str, Any]:
        """Return the claims of a valid token with these changes. The value None removes a claim."""
        at = int(now.timestamp())
        good = {
            "iss": self.url,
            "aud": AUDIENCE,
            "sub": "subject-1",
            "iat": at,
            "exp": at + 600,
            "email": "admin@acme.example",
            "email_verified": True,
            "name": "Ada Admin",
        }
        return {name: value for name, value in {**good, **changes}.items() if value is not None}

    def token(self, now: datetime, kid: str = "one", headers: Mapping[str, Any] | None = None, **changes: Any) -> str:
        """Return a token signed with the key named `kid`. The issuer does not have to publish this key."""
        return sign(self.claims(now, **changes), rsa_key(kid), {"kid": kid, **(headers or {})})


def sign(claims: Mapping[str, Any], key: Any, headers: Mapping[str, Any], algorithm: str = "RS256") -> str:
    wanted = {name: value for name, value in headers.items() if value is not None}
    return jwt.PyJWS().encode(json.dumps(claims).encode(), key, algorithm, wanted)


@contextmanager
def open_issuer() -> Iterator[Issuer]:
    """Start an issuer that publishes the key `one`, and yield it."""
    issuer = Issuer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            issuer.answer(self)

        def log_message(self, format: str, *args: Any) -> None:
            """Suppress the access log."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    issuer.url = f"http://127.0.0.1:{server.server_address[1]}"
    issuer.publish()
    try:
        yield issuer
    finally:
        server.shutdown()
        thread.join(60)
        server.server_close()
