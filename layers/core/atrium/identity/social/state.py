"""The state of an OAuth flow, encrypted with a platform key, so that nothing is stored during the flow.

A state can be used once within ten minutes, for one provider, tenant and redirect URI. The PKCE verifier and the nonce
of the id token are derived from the state's nonce, each with a separate key, so the state does not contain them. The
text of a state begins with the version of these keys. If this version was removed, the state is invalid.
"""

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from atrium.identity.social.descriptions import Purpose
from atrium.kernel.clock import epoch_seconds
from atrium.kernel.crypto import encode_base64url, hmac_sha256, same, sha256_hex
from atrium.kernel.errors import ConditionFailed, InvalidCursor, StateInvalid
from atrium.kernel.ids import TenantId
from atrium.kernel.pagination import CursorSigner
from atrium.storage import provider_keys
from atrium.storage.secrets import Purpose as KeyPurpose
from atrium.storage.secrets import Secrets
from atrium.storage.table import TenantTable
from atrium.storage.writes import NEW, Put

STATE_SECONDS = 600
STATE_MAX = 4_096
_SCOPE = "oauth-state"
_FORM = re.compile(r"(?P<version>[1-9][0-9]{0,8})\.(?P<sealed>[A-Za-z0-9_-]+)")


@dataclass(frozen=True, slots=True)
class FlowState:
    """The state of one flow. It is bound to a `user`, or to the browser that started the flow.

    The browser is identified by the PKCE verifier that matches `challenge`, or by the cookie whose hash is `binding`.
    """

    purpose: Purpose
    provider: str
    tenant_id: TenantId
    redirect_uri: str
    nonce: str
    ends_at: int
    key_version: int
    user: str = ""
    challenge: str = ""
    binding: str = ""


@dataclass(frozen=True, slots=True)
class StateSealer:
    """Encrypts and decrypts states."""

    secrets: Secrets

    def begin(
        self,
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
        version, nonce = self.secrets.peppers("sign_in_state").current().version, secrets.token_hex(16)
        return FlowState(purpose, provider, tenant_id, redirect_uri, nonce, ends_at, version, user, challenge, binding)

    def seal(self, state: FlowState) -> str:
        values = {name: str(getattr(state, name)) for name in FlowState.__slots__ if name != "key_version"}
        kept = {name: value for name, value in values.items() if value}
        return f"{state.key_version}.{self._signer(state.key_version).sign(kept, scope=_SCOPE)}"

    def open(self, text: str, *, purpose: Purpose, provider: str, now: datetime) -> FlowState:
        """Decrypt a state; raise `StateInvalid` if it is forged, expired, or belongs to another purpose or provider."""
        named = _FORM.fullmatch(text) if len(text) <= STATE_MAX else None
        if named is None:
            raise StateInvalid(internal="state: malformed")
        version = int(named["version"])
        try:
            found = self._signer(version).open(named["sealed"], scope=_SCOPE)
        except InvalidCursor as error:
            raise StateInvalid(internal="state: not issued here") from error
        if found is None or found.get("purpose") != purpose or found.get("provider") != provider:
            raise StateInvalid(internal="state: of another flow")
        state = _read(found, purpose, version)
        if epoch_seconds(now) >= state.ends_at:
            raise StateInvalid(internal="state: expired")
        return state

    def verifier(self, state: FlowState) -> str:
        """Return the PKCE verifier that is sent to the provider with the code."""
        return self._derive("pkce_verifier", state)

    def id_nonce(self, state: FlowState) -> str:
        """Return the nonce that the id token must contain."""
        return self._derive("id_token_nonce", state)[:32]

    def _derive(self, purpose: KeyPurpose, state: FlowState) -> str:
        return hmac_sha256(self._key(purpose, state.key_version), state.nonce.encode()).hex()

    def _signer(self, version: int) -> CursorSigner:
        return CursorSigner(lambda: self._key("sign_in_state", version))

    def _key(self, purpose: KeyPurpose, version: int) -> bytes:
        pepper = self.secrets.peppers(purpose).find(version)
        if pepper is None:
            raise StateInvalid(internal="state: its key was removed")
        return pepper.value


def check_browser(state: FlowState, *, verifier: str, cookie: str) -> None:
    """Raise `StateInvalid` unless the PKCE verifier or the cookie belongs to the browser that started the flow."""
    if state.challenge:
        if not same(challenge_of(verifier).encode(), state.challenge.encode()):
            raise StateInvalid(internal="state: wrong verifier")
    elif not state.binding or not same(sha256_hex(cookie.encode()).encode(), state.binding.encode()):
        raise StateInvalid(internal="state: another browser")


def challenge_of(verifier: str) -> str:
    """Return the S256 challenge of a verifier (RFC 7636)."""
    return encode_base64url(bytes.fromhex(sha256_hex(verifier.encode())))


def use_state(table: TenantTable, text: str, state: FlowState) -> None:
    """Mark a state as used; raise `StateInvalid` if it was used before. The marker expires after the state."""
    mark = Put(provider_keys.used_state(sha256_hex(text.encode())), {"ttl": state.ends_at + STATE_SECONDS}, NEW)
    try:
        table.write(mark)
    except ConditionFailed as failed:
        raise StateInvalid(internal="state: used before") from failed


def _read(found: Mapping[str, str], purpose: Purpose, version: int) -> FlowState:
    return FlowState(
        purpose=purpose,
        provider=found["provider"],
        tenant_id=TenantId(found["tenant_id"]),
        redirect_uri=found["redirect_uri"],
        nonce=found["nonce"],
        ends_at=int(found["ends_at"]),
        key_version=version,
        user=found.get("user", ""),
        challenge=found.get("challenge", ""),
        binding=found.get("binding", ""),
    )
