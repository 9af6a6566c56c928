"""Request and response models of the user routes."""

from datetime import datetime
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from atrium.http.fields import Email, Name, OrNone
from atrium.http.limits import ShownLimits, SubjectLimits
from atrium.http.models import StrictModel
from atrium.identity.users.model import LANGUAGE_DEFAULT, TIME_ZONE_DEFAULT, User
from atrium.identity.users.passwords import LENGTH_MAX, LENGTH_MIN
from atrium.identity.users.service import Offboarded, UserWithToken
from atrium.kernel.clock import format_time
from atrium.kernel.errors import named_pattern
from atrium.quotas.limits import show_limits
from pydantic import AfterValidator, Field

Role = Literal["admin", "user", "viewer"]


def _check_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:  # OSError: the name is a folder of time zones
        raise ValueError("must be an IANA time zone, such as `Europe/Berlin`") from error
    return name


Password = Annotated[str, Field(min_length=LENGTH_MIN, max_length=LENGTH_MAX)]
TimeZone = Annotated[str, Field(min_length=1, max_length=64), AfterValidator(_check_zone)]
_LANGUAGE = named_pattern(r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8})*$", "must be a language tag, such as `de-CH`")
_WORD = named_pattern(
    r"^[a-z][a-z0-9_-]{0,31}$", "must start with a letter and have at most 32 characters: a-z, 0-9, `_` and `-`"
)
Language = Annotated[str, Field(max_length=35, pattern=_LANGUAGE)]
Word = Annotated[str, Field(pattern=_WORD)]


class PreferencesBody(StrictModel):
    """Preferences for answers to the user. Each value is one word. Absent preferences are not changed."""

    style: Word = Field(default_factory=str)
    """Preferred style of answers, one word such as `professional`. Default `professional`."""
    length: Word = Field(default_factory=str)
    """Preferred length of answers, one word such as `moderate`. Default `moderate`."""
    level: Word = Field(default_factory=str)
    """Level of expertise that answers assume, one word such as `intermediate`. Default `intermediate`."""


class Preferences(StrictModel):
    """The user's preferences for answers: style, length and level of expertise."""

    style: str
    """Preferred style of answers."""
    length: str
    """Preferred length of answers."""
    level: str
    """Level of expertise that answers assume."""


class UserBody(StrictModel):
    """A user to create. Without a `password` the user is invited, and the response contains an `invite_token`."""

    email: Email
    """Email address, unique in the tenant, at most 255 characters."""
    role: Role
    """Role of the user."""
    name: OrNone[Name] = None
    """Name of the user, at most 100 visible characters. Null or absent: no name."""
    password: Password | None = None
    """First password, 8 to 128 characters. Null or absent: the response contains an `invite_token`."""
    limits: SubjectLimits = Field(default_factory=dict)
    """Limits of the user, in addition to the tenant's limits. Default: empty."""
    time_zone: TimeZone = TIME_ZONE_DEFAULT
    """IANA time zone. Default `UTC`."""
    language: Language = LANGUAGE_DEFAULT
    """Language tag, such as `de-CH`. Default `en`."""
    preferences: PreferencesBody = Field(default_factory=PreferencesBody)
    """The user's preferences for answers."""


class UserPatch(StrictModel):
    """The fields of a user to change. Absent fields are not changed. `limits` are replaced as a whole.

    Absent `preferences` are not changed. A new password or a suspension ends all logins of the user.
    """

    email: Email = Field(default_factory=str)
    """Email address, unique in the tenant, at most 255 characters."""
    role: Role = Field(default_factory=lambda: "viewer")
    """Role of the user. The role of the last active admin cannot be changed."""
    name: OrNone[Name] = None
    """Name of the user, at most 100 visible characters. Null removes the name."""
    password: Password = Field(default_factory=str)
    """New password, 8 to 128 characters. Ends all logins of the user."""
    status: Literal["active", "suspended"] = Field(default_factory=lambda: "active")
    """`suspended`: the user's credentials are rejected and all logins end. `active`: the user can log in again."""
    limits: SubjectLimits = Field(default_factory=dict)
    """Limits of the user, in addition to the tenant's limits. Replaced as a whole."""
    time_zone: TimeZone = Field(default_factory=str)
    """IANA time zone, such as `Europe/Berlin`."""
    language: Language = Field(default_factory=str)
    """Language tag, such as `de-CH`."""
    preferences: PreferencesBody = Field(default_factory=PreferencesBody)
    """The user's preferences for answers. Absent preferences are not changed."""


class UserAnswer(StrictModel):
    """A user of the tenant: role, status, limits and preferences."""

    id: str
    """Id of the user."""
    email: str
    """Email address."""
    role: Role
    """Role of the user."""
    name: str | None
    """Name of the user. Null if the user has no name."""
    status: Literal["active", "invited", "suspended"]
    """`invited` users have not set a password yet. The credentials of `suspended` users are rejected."""
    last_login_at: str | None
    """When the user last logged in (RFC 3339, UTC). Null if the user has never logged in."""
    limits: ShownLimits
    """Limits of the user by name. Absent limits are not set."""
    time_zone: str
    """IANA time zone."""
    language: str
    """Language tag."""
    preferences: Preferences
    """The user's preferences for answers. Prompts can use these values."""
    created_at: str
    """When the user was created (RFC 3339, UTC)."""
    updated_at: str
    """When the user was last changed (RFC 3339, UTC)."""


class OffboardedCredentials(StrictModel):
    """Ids of the API keys and OAuth clients that the user created directly or indirectly."""

    revoked: list[str]
    """Ids of the API keys and OAuth clients that this call revoked."""
    remaining: list[str]
    """Ids of the API keys and OAuth clients that are still valid."""


class ChangedUser(UserAnswer):
    """A user who was suspended or received a role other than `admin`, with the credentials that the user created."""

    credentials: OffboardedCredentials
    """API keys and OAuth clients that the user created, and those that were created with these credentials."""


class CreatedUser(UserAnswer):
    """A created user. `invite_token` is shown only in this response, and is null if a password was set."""

    invite_token: str | None
    """One-time token for `POST /v1/auth/invitations/accept`, shown only in this response. Null if a password was
    set.
    """
    invite_expires_at: str | None
    """When the invitation expires (RFC 3339, UTC). Null if a password was set."""


class ResetUser(UserAnswer):
    """A user and a one-time token for setting a new password. The token is shown only in this response."""

    reset_token: str
    """One-time token for `POST /v1/auth/invitations/accept`, shown only in this response."""
    reset_expires_at: str
    """When the token expires (RFC 3339, UTC)."""


def read_fields(body: UserBody | UserPatch) -> dict[str, Any]:
    """Return the fields that were sent, converted to domain types."""
    fields: dict[str, Any] = {name: getattr(body, name) for name in body.model_fields_set}
    if "name" in fields:
        fields["name"] = fields["name"] or ""
    if "preferences" in fields:
        fields["preferences"] = {name: getattr(body.preferences, name) for name in body.preferences.model_fields_set}
    return fields


def render_user(user: User) -> UserAnswer:
    return UserAnswer(**_fields(user))


def render_changed(user: User, left: Offboarded) -> ChangedUser:
    credentials = OffboardedCredentials(revoked=list(left.revoked), remaining=list(left.remaining))
    return ChangedUser(**_fields(user), credentials=credentials)


def render_created(made: UserWithToken) -> CreatedUser:
    return CreatedUser(**_fields(made.user), invite_token=made.text, invite_expires_at=_one_time_token_end(made.user))


def render_reset(made: UserWithToken) -> ResetUser:
    return ResetUser(
        **_fields(made.user), reset_token=made.text or "", reset_expires_at=_one_time_token_end(made.user) or ""
    )


def _one_time_token_end(user: User) -> str | None:
    return format_time(user.one_time_token.expires_at) if user.one_time_token else None


def _fields(user: User) -> dict[str, Any]:
    return {
        "id": user.id,
        "email": user.email,
        "role": user.role,
        "name": user.name or None,
        "status": user.status,
        "last_login_at": _time(user.last_login_at),
        "limits": show_limits(user.limits),
        "time_zone": user.time_zone,
        "language": user.language,
        "preferences": Preferences(**user.preferences),
        "created_at": _time(user.created_at),
        "updated_at": _time(user.updated_at),
    }


def _time(moment: datetime | None) -> str | None:
    return format_time(moment) if moment else None
