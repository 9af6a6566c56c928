"""`/v1/signing-keys`: the platform operator lists and rotates the keys that sign access tokens."""

from typing import Literal

from atrium.bootstrap import Runtime
from atrium.http import logs
from atrium.http.dependencies import CallerDep, RuntimeDep, require
from atrium.http.idempotency import IdempotentRoute
from atrium.http.models import StrictModel
from atrium.http.responses import problem_responses
from atrium.kernel.clock import epoch_seconds, format_epoch
from atrium.storage.secrets import SigningKey
from fastapi import APIRouter

router = APIRouter(tags=["signing keys"], route_class=IdempotentRoute, dependencies=[require("platform")])


class SigningKeyAnswer(StrictModel):
    """A signing key: its id, status and times. The private key is never returned."""

    kid: str
    """Id of the key, equal to `kid` in the header of a token."""
    status: Literal["next", "signing", "retiring"]
    """`next`: published, but does not sign yet. `signing`: signs new tokens. `retiring`: only verifies old tokens."""
    created_at: str | None
    """When the key was created (RFC 3339, UTC). Null for the first key."""
    signs_from: str | None
    """When the key starts to sign (RFC 3339, UTC). Null for the first key."""
    ends_at: str | None
    """When the key stops verifying tokens (RFC 3339, UTC). Null until the key is replaced."""


class SigningKeys(StrictModel):
    """The keys that verify access tokens, oldest first."""

    data: list[SigningKeyAnswer]
    """The keys, oldest first."""


@router.get("/v1/signing-keys")
def list_signing_keys(runtime: RuntimeDep) -> SigningKeys:
    """List the signing keys.

    Returns the keys that verify access tokens, oldest first. The key with the status `signing` signs new tokens.
    """
    return _describe(runtime)


@router.post("/v1/signing-keys/rotate", responses=problem_responses(409))
def rotate_signing_keys(runtime: RuntimeDep, caller: CallerDep) -> SigningKeys:
    """Rotate the signing keys.

    Publishes a new key, which starts to sign after 15 minutes. Existing tokens remain valid. Returns 409 if the
    key from the previous rotation does not sign yet.
    """
    from atrium.identity.signing import follow, make_signing_key

    now, new = runtime.clock(), make_signing_key()
    runtime.secrets.replace_signing_keys(lambda keys: follow(keys, new, now))
    logs.logger().info("signing keys rotated", kid=new.kid, by=caller.principal.id)
    return _describe(runtime)


def _describe(runtime: Runtime) -> SigningKeys:
    from atrium.identity.signing import choose_signer, list_verifying

    now = runtime.clock()
    keys = list_verifying(runtime.secrets.signing_keys(fresh=True), now)
    signer = choose_signer(keys, now)

    def status(key: SigningKey) -> Literal["next", "signing", "retiring"]:
        if key.kid == signer.kid:
            return "signing"
        return "next" if key.signs_from > epoch_seconds(now) else "retiring"

    return SigningKeys(
        data=[
            SigningKeyAnswer(
                kid=key.kid,
                status=status(key),
                created_at=format_epoch(key.created_at) if key.created_at else None,
                signs_from=format_epoch(key.signs_from) if key.signs_from else None,
                ends_at=format_epoch(key.ends_at) if key.ends_at else None,
            )
            for key in keys
        ]
    )
