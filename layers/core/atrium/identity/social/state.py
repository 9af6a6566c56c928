"""The state of an OAuth flow, encrypted with a platform key, so that nothing is stored during the flow.

It is valid once and for ten minutes, for one provider, tenant and redirect URI. The PKCE verifier and the nonce of the
id token are derived from it and not part of the URL.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from atrium.identity.social.descriptions import Purpose
from atrium.kernel.clock import epoch_seconds
from atrium.kernel.crypto import encode_base64url, same, sha256_hex
from atrium.kernel.errors import ConditionFailed, InvalidCursor, StateInvalid
from atrium.kernel.ids import TenantId
from atrium.kernel.pagination import CursorSigner
from atrium.storage import provider_keys
from atrium.storage.table import TenantTable
from atrium.storage.writes import NEW, Put

STATE_SECONDS = 600
STATE_MAX = 4_096
_SCOPE = "oauth-state"


@dataclass(frozen=True, slots=True)
class FlowState:
    """One flow. It is bound to a `user`, or to the browser that started it.

    The browser is identified by the verifier of `challenge`, or by the cookie whose hash is `binding`.
    """

    purpose: Purpose
    provider: str
    tenant_id: TenantId
    redirect_uri: str
    nonce: str
    ends_at: int
    user: str = ""
    challenge: str = ""
    binding: str = ""


@dataclass(frozen=True, slots=True)
class StateSealer:
    """Encrypts and decrypts states."""

    signer: CursorSigner

    def seal(self, state: FlowState) -> str:
        position = {name: str(getattr(state, name)) for name in FlowState.__slots__}
        return str(self.signer.sign({name: value for name, value in position.items() if value}, scope=_SCOPE))

    def open(self, text: str, *, purpose: Purpose, provider: str, now: datetime) -> FlowState:
        """Return the state of a text; raise `StateInvalid` if it is forged, expired, or for another flow."""
        try:
            found = self.signer.open(text, scope=_SCOPE) if len(text) <= STATE_MAX else None
        except InvalidCursor as error:
            raise StateInvalid(internal="state: not issued here") from error
        if found is None or found.get("purpose") != purpose or found.get("provider") != provider:
            raise StateInvalid(internal="state: of another flow")
        state = _read(found, purpose)
        if epoch_seconds(now) >= state.ends_at:
            raise StateInvalid(internal="state: expired")
        return state

    def verifier(self, state: FlowState) -> str:
        """Return the PKCE verifier for the provider."""
        return self.signer.digest("oauth-pkce", state.nonce.encode())

    def id_nonce(self, state: FlowState) -> str:
        """Return the nonce that the id token must contain."""
        return self.signer.digest("oauth-nonce", state.nonce.encode())[:32]


def begin_state(
    purpose: Purpose,
    provider: str,
    tenant_id: TenantId,
    redirect_uri: str,
    now: datetime,
    *,
    user: str = "",
    challenge: str = "",
    cookie: str = "",
) -> FlowState:
    """Return the state of a new flow."""
    ends_at = epoch_seconds(now + timedelta(seconds=STATE_SECONDS))
    binding = sha256_hex(cookie.encode()) if cookie else ""
    nonce = secrets.token_hex(16)
    return FlowState(purpose, provider, tenant_id, redirect_uri, nonce, ends_at, user, challenge, binding)


def check_browser(state: FlowState, *, verifier: str, cookie: str) -> None:
    """Raise `StateInvalid` unless the browser has the verifier or the cookie of the flow."""
    if state.challenge:
        if not same(challenge_of(verifier).encode(), state.challenge.encode()):
            raise StateInvalid(internal="state: wrong verifier")
    elif not state.binding or not same(sha256_hex(cookie.encode()).encode(), state.binding.encode()):
        raise StateInvalid(internal="state: another browser")


def challenge_of(verifier: str) -> str:
    """Return the S256 challenge of a verifier (RFC 7636)."""
    return encode_base64url(bytes.fromhex(sha256_hex(verifier.encode())))


def use_state(table: TenantTable, text: str, state: FlowState) -> None:
    """Mark a state as used; raise `StateInvalid` if it was used before. The mark expires after the state."""
    mark = Put(provider_keys.used_state(sha256_hex(text.encode())), {"ttl": state.ends_at + STATE_SECONDS}, NEW)
    try:
        table.write(mark)
    except ConditionFailed as failed:
        raise StateInvalid(internal="state: used before") from failed


def _read(found: Mapping[str, str], purpose: Purpose) -> FlowState:
    return FlowState(
        purpose=purpose,
        provider=found["provider"],
        tenant_id=TenantId(found["tenant_id"]),
        redirect_uri=found["redirect_uri"],
        nonce=found["nonce"],
        ends_at=int(found["ends_at"]),
        user=found.get("user", ""),
        challenge=found.get("challenge", ""),
        binding=found.get("binding", ""),
    )
