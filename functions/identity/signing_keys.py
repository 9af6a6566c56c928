"""`GET /.well-known/jwks.json`: returns the public keys that verify access tokens."""

from atrium.http.dependencies import RuntimeDep
from atrium.http.models import StrictModel
from atrium.identity.signing import list_verifying
from atrium.identity.tokens import publish_keys
from fastapi import APIRouter, Response

router = APIRouter(tags=["identity"])
KEPT_SECONDS = 300


class PublicKey(StrictModel):
    """A public key as a JWK (RFC 7517)."""

    kty: str
    """Key type, `EC`."""
    crv: str
    """Curve, `P-256`."""
    x: str
    """First coordinate, base64url."""
    y: str
    """Second coordinate, base64url."""
    kid: str
    """Id of the key, equal to `kid` in the header of a token."""
    alg: str
    """Algorithm, `ES256`."""
    use: str
    """Always `sig`."""


class KeySet(StrictModel):
    """The public keys as a JWK Set (RFC 7517)."""

    keys: list[PublicKey]
    """The public keys."""


@router.get("/.well-known/jwks.json")
def get_signing_keys(runtime: RuntimeDep, response: Response) -> KeySet:
    """List the public signing keys.

    Returns the keys that verify access tokens as a JWK Set. Clients may cache them for five minutes.
    """
    response.headers["Cache-Control"] = f"public, max-age={KEPT_SECONDS}"
    published = publish_keys(list_verifying(runtime.secrets.signing_keys(), runtime.clock()))
    return KeySet(keys=[PublicKey(**key) for key in published["keys"]])
