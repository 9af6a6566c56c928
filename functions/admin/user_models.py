"""Bodies of users."""

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
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:  # OSError: the name of a folder of zones
        raise ValueError("must be an IANA time zone, as Europe/Berlin") from error
    return name


Password = Annotated[str, Field(min_length=LENGTH_MIN, max_length=LENGTH_MAX)]
TimeZone = Annotated[str, Field(min_length=1, max_length=64), AfterValidator(_check_zone)]
_LANGUAGE = named_pattern(r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8})*$", "must be a language tag, as `de-CH`")
_WORD = named_pattern(r"^[a-z][a-z0-9_-]{0,31}$", "must be one word of at most 32 of a-z, 0-9, `_` and `-`")
Language = Annotated[str, Field(max_length=35, pattern=_LANGUAGE)]
Word = Annotated[str, Field(pattern=_WORD)]


class PreferencesBody(StrictModel):
    """How the user likes answers, each in one word; what is absent stays."""

    style: Word = Field(default_factory=str)
    length: Word = Field(default_factory=str)
    level: Word = Field(default_factory=str)


class Preferences(StrictModel):
    """How the user likes answers; prompts may use it."""

    style: str
    length: str
    level: str


class UserBody(StrictModel):
    """A new user. Without a `password` they are invited: the answer has an `invite_token`."""

    email: Email
    role: Role
    name: OrNone[Name] = None
    password: Password | None = None
    limits: SubjectLimits = Field(default_factory=dict)
    time_zone: TimeZone = TIME_ZONE_DEFAULT
    language: Language = LANGUAGE_DEFAULT
    preferences: PreferencesBody = Field(default_factory=PreferencesBody)


class UserPatch(StrictModel):
    """Any part of a user; what is absent stays. `limits` are replaced as a whole, `preferences` part by part.

    A new password or a suspension ends all of the user's logins.
    """

    email: Email = Field(default_factory=str)
    role: Role = Field(default_factory=lambda: "viewer")
    name: OrNone[Name] = None
    password: Password = Field(default_factory=str)
    status: Literal["active", "suspended"] = Field(default_factory=lambda: "active")
    limits: SubjectLimits = Field(default_factory=dict)
    time_zone: TimeZone = Field(default_factory=str)
    language: Language = Field(default_factory=str)
    preferences: PreferencesBody = Field(default_factory=PreferencesBody)


class UserAnswer(StrictModel):
    """A user as they are now."""

    id: str
    email: str
    role: Role
    name: str | None
    status: Literal["active", "invited", "suspended"]
    last_login_at: str | None
    limits: ShownLimits
    time_zone: str
    language: str
    preferences: Preferences
    created_at: str
    updated_at: str


class OffboardedCredentials(StrictModel):
    """Ids of keys and clients that descend from the user: those that ended by this call, and those that go on."""

    revoked: list[str]
    remaining: list[str]


class ChangedUser(UserAnswer):
    """A user who was suspended, or given a role other than admin, and the credentials that descend from them."""

    credentials: OffboardedCredentials


class CreatedUser(UserAnswer):
    """A new user. `invite_token` is shown this once; it is null where a password was given."""

    invite_token: str | None
    invite_expires_at: str | None


class ResetUser(UserAnswer):
    """A user, and a one-time token by which they set a password; it is shown this once."""

    reset_token: str
    reset_expires_at: str


def read_fields(body: UserBody | UserPatch) -> dict[str, Any]:
    """Return the fields that were sent, in the domain's types."""
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
