"""An identity provider of a tenant: an issuer whose tokens it trusts, for one audience.

An audience that holds a tenant's id can be registered by that tenant alone, so nobody can take it first.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Literal, get_args

from atrium.kernel.ids import ULID_PATTERN, IdentityProviderId, TenantId
from atrium.tenants.context import Role

type Algorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]

ALGORITHMS: tuple[str, ...] = get_args(Algorithm.__value__)
ALGORITHMS_DEFAULT: tuple[Algorithm, ...] = ("RS256", "ES256")
NAME_MAX = 100
ISSUER_MAX = 512
AUDIENCE_MAX = 255
CLAIM_MAX = 128
ROLES_MAX = 50
PROVIDERS_MAX = 20
_TENANT_ID = re.compile(rf"ten_{ULID_PATTERN}")


@dataclass(frozen=True, slots=True)
class ClaimMapping:
    """Which claims say who somebody is; `role` empty: every user has the role that is kept for him here.

    A name is that of a member, or leads through members by dots: `realm_access.roles`.
    """

    email: str = "email"
    name: str = "name"
    role: str = ""


@dataclass(frozen=True, slots=True)
class Entrance:
    """Through what somebody comes: the issuer, and what the tenant's registration of it says of newcomers."""

    issuer: str
    provider_id: IdentityProviderId
    provision_users: bool
    default_role: Role


@dataclass(frozen=True, slots=True)
class IdentityProvider:
    """What a tenant registered. `jwks_uri` empty: the issuer's discovery document names it."""

    id: IdentityProviderId
    name: str
    issuer: str
    audience: str
    created_at: datetime
    updated_at: datetime
    jwks_uri: str = ""
    algorithms: tuple[str, ...] = ALGORITHMS_DEFAULT
    claim_mapping: ClaimMapping = field(default_factory=ClaimMapping)
    role_mapping: Mapping[str, Role] = field(default_factory=dict)
    default_role: Role = "user"
    provision_users: bool = True
    enabled: bool = True
    assume_email_verified: bool = False

    @property
    def entrance(self) -> Entrance:
        return Entrance(self.issuer, self.id, self.provision_users, self.default_role)

    @property
    def source(self) -> str:
        """What its keys depend on: keys that were fetched for another source are not its keys."""
        return sha256(f"{self.issuer}\n{self.jwks_uri}".encode()).hexdigest()


def pair_digest(issuer: str, audience: str) -> str:
    """Return what an issuer's audience is known by in the table."""
    return sha256(f"{issuer}\n{audience}".encode()).hexdigest()


def person_digest(issuer: str, subject: str) -> str:
    """Return what an issuer's subject is known by in a tenant."""
    return sha256(f"{issuer}\n{subject}".encode()).hexdigest()


def find_tenant_ids(audience: str) -> frozenset[TenantId]:
    """Return the tenants' ids that an audience holds."""
    return frozenset(TenantId(found) for found in _TENANT_ID.findall(audience))
