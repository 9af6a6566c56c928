"""What a provider's claims make of somebody here: email, name and role. Pure; claims are proven before."""

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
    """Who an issuer says somebody is. `email` is empty where it is missing or not proven; `role` None: as kept here."""

    email: str
    name: str
    role: Role | None


def map_claims(claims: Mapping[str, Any], provider: IdentityProvider) -> Profile:
    """Return the profile of claims. An email that the issuer does not call verified is none.

    A provider may be registered as one that verifies emails without saying so; then only its `false` counts.
    """
    mapping = provider.claim_mapping
    believed = says_yes(claims.get("email_verified", provider.assume_email_verified))
    name = read_claim(claims, mapping.name)
    return Profile(
        email=read_email(read_claim(claims, mapping.email)) if believed else "",
        name=clean(name, NAME_MAX) if isinstance(name, str) else "",
        role=_map_role(read_claim(claims, mapping.role), provider) if mapping.role else None,
    )


def says_yes(claim: object) -> bool:
    """Tell whether a claim is true: JSON's `true`, or the text that some issuers send; a 1 is neither."""
    return claim is True or claim == "true"


def read_claim(claims: Mapping[str, Any], name: str) -> Any:
    """Return a claim by its name, or by its way through members: `realm_access.roles`; None if there is none."""
    if name in claims:
        return claims[name]
    found: Any = claims
    for part in name.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def _map_role(value: Any, provider: IdentityProvider) -> Role:
    """Return the widest role that a claim's values are mapped to, else the provider's default."""
    values = value if isinstance(value, list) else [value]
    mapped = {provider.role_mapping.get(each) for each in values if isinstance(each, str)}
    return next((role for role in _ROLES_WIDEST_FIRST if role in mapped), provider.default_role)
