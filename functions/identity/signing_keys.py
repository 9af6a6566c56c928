"""`GET /.well-known/jwks.json`: the public keys that verify access tokens."""

from atrium.http.dependencies import RuntimeDep
from atrium.http.models import StrictModel
from atrium.identity.signing import list_verifying
from atrium.identity.tokens import publish_keys
from fastapi import APIRouter, Response

router = APIRouter(tags=["identity"])
KEPT_SECONDS = 300


class PublicKey(StrictModel):
    """A public key (RFC 7517)."""

    kty: str
    crv: str
    x: str
    y: str
    kid: str
    alg: str
    use: str


class KeySet(StrictModel):
    """A JWK Set."""

    keys: list[PublicKey]


@router.get("/.well-known/jwks.json")
def get_signing_keys(runtime: RuntimeDep, response: Response) -> KeySet:
    """Return the keys that verify our access tokens. Clients may cache them for five minutes."""
    response.headers["Cache-Control"] = f"public, max-age={KEPT_SECONDS}"
    published = publish_keys(list_verifying(runtime.secrets.signing_keys(), runtime.clock()))
    return KeySet(keys=[PublicKey(**key) for key in published["keys"]])
