"""The model of a tenant's identity provider: a trusted issuer and one audience.

An audience that contains a tenant's id can be registered only by that tenant.
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
    """The names of the claims for email, name and role. If `role` is empty, each user keeps the stored role.

    A name may be a path with dots, such as `realm_access.roles`.
    """

    email: str = "email"
    name: str = "name"
    role: str = ""


@dataclass(frozen=True, slots=True)
class SubjectSource:
    """The issuer of a subject, and the provider's rules for subjects without a user."""

    issuer: str
    provider_id: IdentityProviderId
    provision_users: bool
    default_role: Role


@dataclass(frozen=True, slots=True)
class IdentityProvider:
    """A registered identity provider.

    If `jwks_uri` is empty, the URL of the keys is read from the issuer's discovery document.
    """

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
    def subject_source(self) -> SubjectSource:
        return SubjectSource(self.issuer, self.id, self.provision_users, self.default_role)

    @property
    def source(self) -> str:
        """Return a digest of the issuer and `jwks_uri`. Keys that were stored with a different digest are not used."""
        return sha256(f"{self.issuer}\n{self.jwks_uri}".encode()).hexdigest()


def pair_digest(issuer: str, audience: str) -> str:
    """Return the digest that identifies an issuer and audience in the table."""
    return sha256(f"{issuer}\n{audience}".encode()).hexdigest()


def person_digest(issuer: str, subject: str) -> str:
    """Return the digest that identifies a subject of an issuer in a tenant."""
    return sha256(f"{issuer}\n{subject}".encode()).hexdigest()


def find_tenant_ids(audience: str) -> frozenset[TenantId]:
    """Return the tenant ids that an audience contains."""
    return frozenset(TenantId(found) for found in _TENANT_ID.findall(audience))
