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
    """A user's data at the issuer.

    `email` is empty if the email is missing or not verified. If `role` is None, the user keeps the stored role.
    """

    email: str
    name: str
    role: Role | None


def map_claims(claims: Mapping[str, Any], provider: IdentityProvider) -> Profile:
    """Return the profile from the claims of a verified token. The email is used only if `email_verified` is true.

    If the claim `email_verified` is missing, the provider's setting `assume_email_verified` is used instead.
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
    """Return the claim with this name or path, such as `realm_access.roles`, or None if the claim does not exist."""
    if name in claims:
        return claims[name]
    found: Any = claims
    for part in name.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def _map_role(value: Any, provider: IdentityProvider) -> Role:
    """Return the highest role that the provider assigns to the claim's values, or the provider's default role."""
    values = value if isinstance(value, list) else [value]
    mapped = {provider.role_mapping.get(each) for each in values if isinstance(each, str)}
    return next((role for role in _ROLES_WIDEST_FIRST if role in mapped), provider.default_role)
