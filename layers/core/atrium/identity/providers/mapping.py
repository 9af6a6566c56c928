"""Maps the verified claims of a provider to the email, name and role of a user. No I/O."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from atrium.identity.providers.model import IdentityProvider
from atrium.identity.users.model import read_email
from atrium.kernel.texts import clean
from atrium.tenants.context import Role

NAME_MAX = 100
_ROLES_WIDEST_FIRST: tuple[Role, ...] = ("admin", "user", "viewer")


@dataclass(frozen=True, slots=True)
class Profile:
    """The user's data at the issuer.

    `email` is empty if missing or not verified. If `role` is None, the stored role is kept.
    """

    email: str
    name: str
    role: Role | None


def map_claims(claims: Mapping[str, Any], provider: IdentityProvider) -> Profile:
    """Return the profile from verified claims. An email is used only if the issuer declares it verified.

    If the provider is registered with `assume_email_verified`, an email is used unless the issuer declares it
    unverified.
    """
    mapping = provider.claim_mapping
    is_verified = is_true_claim(claims.get("email_verified", provider.assume_email_verified))
    name = read_claim(claims, mapping.name)
    return Profile(
        email=read_email(read_claim(claims, mapping.email)) if is_verified else "",
        name=clean(name, NAME_MAX) if isinstance(name, str) else "",
        role=_map_role(read_claim(claims, mapping.role), provider) if mapping.role else None,
    )


def is_true_claim(claim: object) -> bool:
    """Return whether a claim is JSON `true` or the text "true", which some issuers send. The number 1 is not true."""
    return claim is True or claim == "true"


def read_claim(claims: Mapping[str, Any], name: str) -> Any:
    """Return a claim by name or by path, such as `realm_access.roles`. Return None if it does not exist."""
    if name in claims:
        return claims[name]
    found: Any = claims
    for part in name.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def _map_role(value: Any, provider: IdentityProvider) -> Role:
    """Return the highest role to which the claim's values map. If there is none, return the provider's default role."""
    values = value if isinstance(value, list) else [value]
    mapped = {provider.role_mapping.get(each) for each in values if isinstance(each, str)}
    return next((role for role in _ROLES_WIDEST_FIRST if role in mapped), provider.default_role)
