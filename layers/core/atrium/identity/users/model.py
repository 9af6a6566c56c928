"""The user model and the comparison of email addresses."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from atrium.identity.users.one_time_token import OneTimeToken
from atrium.kernel.errors import named_pattern
from atrium.kernel.ids import TenantId, UserId
from atrium.tenants.context import Role

type UserStatus = Literal["active", "invited", "suspended"]

EMAIL_MAX = 255
EMAIL_PATTERN = named_pattern(
    r"^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
    r"(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*$",
    "must be an email address, such as ann@example.com",
)
TIME_ZONE_DEFAULT = "UTC"
LANGUAGE_DEFAULT = "en"
PREFERENCES_DEFAULT: Mapping[str, str] = {"style": "professional", "length": "moderate", "level": "intermediate"}
_EMAIL = re.compile(EMAIL_PATTERN)


@dataclass(frozen=True, slots=True)
class User:
    """A user of a tenant. Incrementing `token_version` ends all earlier tokens.

    `logins_ended_at` is the last time when a change of the user ended all logins. It is compared with the issue time of
    tokens of identity providers, which contain no token version. `limits` apply in addition to the tenant's limits
    (`atrium.quotas.limits`). `suspended_from` is the status before a suspension. `one_time_token` is the token of an
    open invitation or password reset.
    """

    id: UserId
    tenant_id: TenantId
    email: str
    role: Role
    status: UserStatus
    created_at: datetime
    updated_at: datetime
    name: str = ""
    password_hash: str = field(default="", repr=False)
    token_version: int = 1
    logins_ended_at: datetime | None = None
    last_login_at: datetime | None = None
    time_zone: str = TIME_ZONE_DEFAULT
    language: str = LANGUAGE_DEFAULT
    preferences: Mapping[str, str] = field(default_factory=lambda: PREFERENCES_DEFAULT)
    limits: Mapping[str, int] = field(default_factory=dict)
    suspended_from: UserStatus = "active"
    one_time_token: OneTimeToken | None = None

    @property
    def is_active_admin(self) -> bool:
        """Return whether the user can administer the tenant now. A tenant always has at least one such user."""
        return self.role == "admin" and self.status == "active"


def same_address(email: str) -> str:
    """Return the form in which emails are compared: lowercase, without surrounding spaces."""
    return email.strip().lower()


def read_email(value: object) -> str:
    """Return an email from another system without surrounding spaces, or "" if the email is invalid."""
    address = value.strip() if isinstance(value, str) else ""
    return address if len(address) <= EMAIL_MAX and _EMAIL.fullmatch(address) is not None else ""
