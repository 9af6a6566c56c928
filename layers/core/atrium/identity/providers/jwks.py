"""Reads the JWK Sets (RFC 7517) of external issuers. Only public signature keys of sufficient strength are returned.

Symmetric, private, weak, oversized and encryption keys are removed, so that a token cannot choose them.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa

from atrium.kernel.foreign_json import read_foreign_json

KEYS_MAX = 20
KID_MAX = 256
_RSA_BITS = (2048, 8192)
_CURVES = {"ES256": ec.SECP256R1, "ES384": ec.SECP384R1, "ES512": ec.SECP521R1}
_MEMBERS = ("kty", "kid", "alg", "n", "e", "crv", "x", "y")

type PublicJwk = Mapping[str, str]
type VerificationKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | ed448.Ed448PublicKey


def read_key_set(body: bytes) -> tuple[PublicJwk, ...]:
    """Return the usable keys of a JWK Set; raise `ValueError` if the set is malformed or has no usable key."""
    document = read_foreign_json(body)
    if not isinstance(document, dict) or not isinstance(document.get("keys"), list):
        raise ValueError("not a JWK Set")  # noqa: TRY004 - one error for all malformed sets
    kept = [_public_part(key) for key in document["keys"][:100] if _may_verify(key)]
    usable = tuple(key for key in kept if _loads(key))[:KEYS_MAX]
    if not usable:
        raise ValueError("no usable key")
    return usable


def find_key(keys: Sequence[PublicJwk], kid: str, algorithm: str) -> VerificationKey | None:
    """Return the key with this `kid` if the key can verify the algorithm, otherwise None.

    If `kid` is empty, return the only key that can verify the algorithm, or None if there are several.
    """
    named = [key for key in keys if not kid or key.get("kid") == kid]
    fitting = [found for key in named if (found := load_key(key, algorithm)) is not None]
    return fitting[0] if len(fitting) == 1 or (fitting and kid) else None


def load_key(key: PublicJwk, algorithm: str) -> VerificationKey | None:
    """Load a JWK and return the public key, or None if the key cannot verify the algorithm."""
    if key.get("alg", algorithm) != algorithm:
        return None
    try:
        loaded = jwt.PyJWK(dict(key), algorithm=algorithm).key
    except (jwt.PyJWTError, ValueError, TypeError):
        return None
    return loaded if _fits(loaded, algorithm) else None


def _fits(key: Any, algorithm: str) -> bool:
    if algorithm in _CURVES:
        return isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, _CURVES[algorithm])
    if algorithm == "EdDSA":
        return isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey)
    least, most = _RSA_BITS
    return isinstance(key, rsa.RSAPublicKey) and least <= key.key_size <= most


def _may_verify(key: Any) -> bool:
    if not isinstance(key, dict) or key.get("kty") not in {"RSA", "EC", "OKP"} or "d" in key:
        return False
    operations = key.get("key_ops", ["verify"])
    if key.get("use", "sig") != "sig" or not isinstance(operations, list) or "verify" not in operations:
        return False
    return all(isinstance(key[name], str) for name in _MEMBERS if name in key) and len(key.get("kid", "")) <= KID_MAX


def _public_part(key: Mapping[str, Any]) -> PublicJwk:
    return {name: key[name] for name in _MEMBERS if name in key}


def _loads(key: PublicJwk) -> bool:
    if len(key.get("n", "")) > _RSA_BITS[1] // 6 + 2:
        return False
    algorithms = [key["alg"]] if "alg" in key else _algorithms_of(key)
    return any(load_key(key, algorithm) is not None for algorithm in algorithms)


def _algorithms_of(key: PublicJwk) -> Sequence[str]:
    return {"RSA": ["RS256"], "EC": list(_CURVES), "OKP": ["EdDSA"]}[key["kty"]]
