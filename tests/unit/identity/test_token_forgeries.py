"""Access tokens that are forged without the private key are rejected."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable

import jwt
import pytest
from atrium.identity.tokens import load_private_key, publish_keys
from atrium.kernel.errors import TokenInvalid
from atrium.storage.secrets import SigningKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.builders.forging import ISSUER, make_key, part, read, sign


@pytest.mark.parametrize("name", ["jku", "x5u", "jwk", "x5c"])
def test_ignores_a_key_inside_the_token(name: str) -> None:
    outsider = make_key("outsider")
    bait: object = publish_keys([outsider])["keys"][0] if name == "jwk" else "https://evil.example/keys"
    if name == "x5c":
        bait = ["MIIB"]
    payload = json.dumps({"iss": ISSUER}).encode()
    headers = {"typ": "at+jwt", "kid": "one", name: bait}
    with pytest.raises(TokenInvalid):
        read(jwt.PyJWS().encode(payload, load_private_key(outsider), "ES256", headers))


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "nOnE"])
def test_rejects_algorithm_none(algorithm: str) -> None:
    _, body, _ = sign().split(".")
    head = part({"alg": algorithm, "typ": "at+jwt", "kid": "one"})
    for signature in ("", part(b"x")):
        with pytest.raises(TokenInvalid):
            read(f"{head}.{body}.{signature}")


def _public_forms(key: SigningKey) -> list[bytes]:
    public = load_private_key(key).public_key()
    return [
        public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint),
        json.dumps(publish_keys([key])["keys"][0]).encode(),
    ]


@pytest.mark.parametrize("form", range(4))
def test_rejects_hs256_with_the_public_key(form: int) -> None:
    _, body, _ = sign().split(".")
    head = part({"alg": "HS256", "typ": "at+jwt", "kid": "one"})
    mac = hmac.digest(_public_forms(make_key("one"))[form], f"{head}.{body}".encode(), hashlib.sha256)
    with pytest.raises(TokenInvalid):
        read(f"{head}.{body}.{part(mac)}")


def test_rejects_another_keys_signature_with_our_kid() -> None:
    payload = jwt.PyJWS().decode(sign(), load_private_key(make_key("one")).public_key(), ["ES256"])
    headers = {"typ": "at+jwt", "kid": "one"}
    for other in (make_key("two"), make_key("outsider")):
        with pytest.raises(TokenInvalid):
            read(jwt.PyJWS().encode(payload, load_private_key(other), "ES256", headers))


def _tampered(text: str) -> str:
    head, body, signature = text.split(".")
    payload = json.loads(base64.urlsafe_b64decode(body + "=="))
    payload["sub"] = "usr_01k6r5m2x8f3v9q4w7t1y0z5af"
    return f"{head}.{part(payload)}.{signature}"


@pytest.mark.parametrize(
    "change",
    [
        _tampered,
        lambda text: text.rsplit(".", 1)[0] + ".",
        lambda text: text.rsplit(".", 1)[0] + "." + part(bytes(64)),
        lambda text: text.rsplit(".", 1)[0] + "." + part(b"\x01" * 64),
        lambda text: text.rsplit(".", 1)[0],
        lambda text: text + ".x",
        lambda text: "." + text,
        lambda text: text.replace(".", "..", 1),
        lambda text: "",
        lambda text: "..",
        lambda text: "a.b.c",
        lambda text: f"{part(b'[]')}.{part(b'{}')}.{part(b'x')}",
        lambda text: f"{part(b'[' * 5000)}.{part(b'{}')}.{part(b'x')}",
        lambda text: "ü.ü.ü",
    ],
)
def test_rejects_a_changed_token(change: Callable[[str], str]) -> None:
    with pytest.raises(TokenInvalid):
        read(change(sign()))


@pytest.mark.parametrize("payload", [b"not json", b"[]", b"7", b"null", b"[" * 100_000, b"\xff\xfe"])
def test_rejects_a_signed_payload_that_is_not_an_object(payload: bytes) -> None:
    headers = {"typ": "at+jwt", "kid": "one"}
    with pytest.raises(TokenInvalid):
        read(jwt.PyJWS().encode(payload, load_private_key(make_key("one")), "ES256", headers))
