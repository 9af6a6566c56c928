"""Reads a user's profile from the provider's id token, its user info, or both.

If both are read, they must have the same subject. An email is used only if the provider has verified it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from atrium.egress.client import EgressClient
from atrium.identity.providers.assertion import read_claimed, verify_token
from atrium.identity.providers.jwks import PublicJwk, find_key, read_key_set
from atrium.identity.providers.mapping import NAME_MAX, is_true_claim
from atrium.identity.providers.model import IdentityProvider
from atrium.identity.social.descriptions import Description
from atrium.identity.social.exchange import Grant, call, read_protected
from atrium.identity.users.model import read_email
from atrium.kernel.clock import Clock, epoch_seconds
from atrium.kernel.errors import ProviderFailed, Unauthenticated
from atrium.kernel.ids import IdentityProviderId
from atrium.kernel.texts import clean

_KEYS_KEPT = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class SocialProfile:
    """A user's profile at a provider. `email` is empty unless the provider has verified it."""

    subject: str
    email: str
    name: str


@dataclass
class ProfileReader:
    """Reads profiles. Caches the providers' keys for one hour."""

    egress: EgressClient
    clock: Clock
    _keys: dict[str, tuple[datetime, Sequence[PublicJwk]]] = field(default_factory=dict)

    def read(self, description: Description, grant: Grant, *, client_id: str, nonce: str) -> SocialProfile:
        """Return the profile of the user to whom the tokens belong. `nonce` is the expected nonce of the id token.

        Raises `ProviderFailed` if the provider's data is invalid or contradictory, and `ProviderRefused` if the
        provider rejects the access token.
        """
        claims: dict[str, Any] = {}
        if description.keys:
            claims |= self._read_id_token(description, grant.id_token, client_id, nonce)
        if description.user_info:
            user_info = read_protected(self.egress, description.user_info, grant.access_token)
            if claims and user_info.get("sub") != claims["sub"]:
                raise ProviderFailed(internal="provider: user info of another subject")
            claims = {**user_info, **claims}
        if description.emails:
            claims |= _choose_email(read_protected(self.egress, description.emails, grant.access_token))
        return _profile(claims, description.subject)

    def _read_id_token(self, description: Description, token: str, client_id: str, nonce: str) -> Mapping[str, Any]:
        now = self.clock()
        wanted = IdentityProvider(
            IdentityProviderId(""), description.name, description.issuer, client_id, now, now, algorithms=("RS256",)
        )
        try:
            claimed = read_claimed(token)
            key = self._find_key(description.keys, claimed.kid, claimed.algorithm, now)
            proven = verify_token(token, claimed, key, wanted, now=epoch_seconds(now))
        except Unauthenticated as error:
            raise ProviderFailed(internal=f"provider: id token: {error.internal}") from error
        if proven.claims.get("nonce") != nonce or proven.claims.get("azp", client_id) != client_id:
            raise ProviderFailed(internal="provider: id token of another flow")
        return proven.claims

    def _find_key(self, address: str, kid: str, algorithm: str, now: datetime) -> Any:
        known = self._keys.get(address)
        key = find_key(known[1], kid, algorithm) if known and now - known[0] < _KEYS_KEPT else None
        if key is None:
            try:
                fetched = read_key_set(call(self.egress, "GET", address, {"accept": "application/json"}).body)
            except ValueError as error:
                raise ProviderFailed(internal="provider: no keys") from error
            self._keys[address] = (now, fetched)
            key = find_key(fetched, kid, algorithm)
        if key is None:
            raise ProviderFailed(internal="provider: id token of an unknown key")
        return key


def _choose_email(found: Any) -> dict[str, Any]:
    """Return the claims `email` and `email_verified` for the primary email of a list."""
    several = found if isinstance(found, list) else []
    primary = [each for each in several if isinstance(each, Mapping) and each.get("primary") is True]
    if not primary:
        return {"email": None}
    return {"email": primary[0].get("email"), "email_verified": primary[0].get("verified") is True}


def _profile(claims: Mapping[str, Any], subject_name: str) -> SocialProfile:
    subject = claims.get(subject_name)
    if isinstance(subject, bool) or not isinstance(subject, str | int) or not 0 < len(str(subject)) <= 255:
        raise ProviderFailed(internal="provider: no subject")
    name = claims.get("name") or claims.get("login")
    verified = is_true_claim(claims.get("email_verified"))
    return SocialProfile(
        subject=str(subject),
        email=read_email(claims.get("email")) if verified else "",
        name=clean(name, NAME_MAX) if isinstance(name, str) else "",
    )
