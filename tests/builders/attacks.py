"""Forged access tokens, made from a valid token with the signing key, its public key, another key or no key."""

import hmac
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import jwt
from atrium.identity.tokens import load_private_key
from atrium.kernel.crypto import decode_base64url
from atrium.kernel.ids import mint_tenant_id, mint_user_id
from atrium.storage.secrets import SigningKey
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.builders.forging import NOW, part

EVIL = "https://evil.example/keys"
DROP = object()


@dataclass(frozen=True)
class Attack:
    """A forged bearer token.

    `names_tenant` is true if the authorizer records the attack in the audit log of the original token's tenant.
    """

    name: str
    text: str
    names_tenant: bool = True


@dataclass(frozen=True)
class Forger:
    """A generator of forged tokens. `token` is a valid token, and `key` is the key that signed it."""

    token: str
    key: SigningKey

    def attacks(self) -> Iterator[Attack]:
        head, body, signature = self.token.split(".")
        yield Attack("empty signature", f"{head}.{body}.")
        yield Attack("signature of zeros", f"{head}.{body}.{part(bytes(64))}")
        yield Attack("tampered payload", f"{head}.{part(self.claims() | {'sub': mint_user_id(NOW)})}.{signature}")
        yield Attack("no signature part", f"{head}.{body}", names_tenant=False)
        yield Attack("ten thousand characters", "a" * 10_000, names_tenant=False)
        yield Attack("ten thousand characters of a token", f"{head}.{body}.{'a' * 10_000}", names_tenant=False)
        yield from self._headers()
        yield from self._claims()

    @staticmethod
    def kid_of(token: str) -> str:
        return str(json.loads(decode_base64url(token.split(".", maxsplit=1)[0]))["kid"])

    def claims(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(decode_base64url(self.token.split(".")[1]))
        return found

    def sign(self, claims: dict[str, Any], headers: dict[str, Any] | None = None, *, by: object = None) -> str:
        """Return a token with changed claims or headers. `by` is the private key, by default `key`."""
        payload = {name: value for name, value in (self.claims() | claims).items() if value is not DROP}
        head = {"typ": "at+jwt", "kid": self.key.kid, **(headers or {})}
        return jwt.PyJWS().encode(json.dumps(payload).encode(), by or load_private_key(self.key), "ES256", head)  # type: ignore[arg-type] # a key of either kind

    def _headers(self) -> Iterator[Attack]:
        body = self.token.split(".")[1]
        pem = load_private_key(self.key).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        for algorithm in ("none", "None", "nOnE"):
            yield Attack(
                f"alg {algorithm}", f"{part({'alg': algorithm, 'typ': 'at+jwt', 'kid': self.key.kid})}.{body}."
            )
        confused = part({"alg": "HS256", "typ": "at+jwt", "kid": self.key.kid})
        mac = hmac.digest(pem, f"{confused}.{body}".encode(), "sha256")
        yield Attack("HS256 with the public key", f"{confused}.{body}.{part(mac)}")
        outsider = ec.generate_private_key(ec.SECP256R1())
        yield Attack("another key under our kid", self.sign({}, by=outsider))
        for kid in ("../../dev/null", "' OR '1'='1", "kid\0", "", "other-tenants-kid", "k" * 300):
            yield Attack(f"kid {kid[:20]!r}", self.sign({}, {"kid": kid}, by=outsider))
        for pointer in ({"jku": EVIL}, {"x5u": EVIL}, {"jwk": {"kty": "EC"}}, {"x5c": ["MIIB"]}):
            yield Attack(f"other {next(iter(pointer))}", self.sign({}, {"kid": "evil", **pointer}, by=outsider))
        for kind in ("JWT", "id+jwt", "refresh"):
            yield Attack(f"typ {kind}", self.sign({}, {"typ": kind}))
        yield Attack("crit", self.sign({}, {"crit": ["exp"]}))

    def _claims(self) -> Iterator[Attack]:
        now, day = int(self.claims()["iat"]), 86_400
        yield Attack("iss of no one", self.sign({"iss": "urn:evil"}))
        # The authorizer ignores the `tenant_id` in a token of another issuer.
        yield Attack("iss of an outsider", self.sign({"iss": "https://evil.example"}), names_tenant=False)
        yield Attack("aud of another", self.sign({"aud": "https://api.other.example"}))
        yield Attack("no aud", self.sign({"aud": DROP}))
        yield Attack("expired", self.sign({"iat": now - day, "nbf": now - day, "exp": now - day + 900}))
        yield Attack("not yet valid", self.sign({"nbf": now + day, "exp": now + 2 * day}))
        yield Attack("issued in the future", self.sign({"iat": now + day, "exp": now + 2 * day}))
        yield Attack("no exp", self.sign({"exp": DROP}))
        yield Attack("a user who is not there", self.sign({"sub": mint_user_id(NOW)}))
        yield Attack("a tenant that is no id", self.sign({"tenant_id": "acme"}), names_tenant=False)
        yield Attack("a tenant who is not there", self.sign({"tenant_id": mint_tenant_id(NOW)}), names_tenant=False)
