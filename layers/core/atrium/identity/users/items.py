"""Converts users to items and back."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from atrium.identity.users.model import LANGUAGE_DEFAULT, PREFERENCES_DEFAULT, TIME_ZONE_DEFAULT, User
from atrium.identity.users.one_time_token import OneTimeToken
from atrium.kernel.clock import epoch_seconds, format_time, parse_time
from atrium.kernel.ids import TenantId, UserId


def user_item(user: User) -> dict[str, Any]:
    """Return the item of a user. Default values are omitted."""
    return {
        "id": user.id,
        "email": user.email,
        "role": user.role,
        "status": user.status,
        "name": user.name or None,
        "password_hash": user.password_hash or None,
        "token_version": user.token_version,
        "created_at": format_time(user.created_at),
        "updated_at": format_time(user.updated_at),
        "last_login_at": format_time(user.last_login_at) if user.last_login_at else None,
        "time_zone": None if user.time_zone == TIME_ZONE_DEFAULT else user.time_zone,
        "language": None if user.language == LANGUAGE_DEFAULT else user.language,
        "preferences": None if user.preferences == PREFERENCES_DEFAULT else dict(user.preferences),
        "limits": dict(user.limits) or None,
        "suspended_from": None if user.suspended_from == "active" else user.suspended_from,
        "ticket": _one_time_token_item(user.one_time_token) if user.one_time_token else None,
    }


def read_user(item: Mapping[str, Any], tenant_id: TenantId) -> User:
    """Return the user that is stored in an item of the tenant's partition."""
    last_login, one_time_token, ended = item.get("last_login_at"), item.get("ticket"), item.get("logins_ended_at")
    return User(
        id=UserId(item["id"]),
        tenant_id=tenant_id,
        email=item["email"],
        role=item["role"],
        status=item["status"],
        name=item.get("name", ""),
        password_hash=item.get("password_hash", ""),
        token_version=item["token_version"],
        logins_ended_at=parse_time(ended) if ended else None,
        created_at=parse_time(item["created_at"]),
        updated_at=parse_time(item["updated_at"]),
        last_login_at=parse_time(last_login) if last_login else None,
        time_zone=item.get("time_zone", TIME_ZONE_DEFAULT),
        language=item.get("language", LANGUAGE_DEFAULT),
        preferences={**PREFERENCES_DEFAULT, **item.get("preferences", {})},
        limits=item.get("limits", {}),
        suspended_from=item.get("suspended_from", "active"),
        one_time_token=_read_one_time_token(one_time_token) if one_time_token else None,
    )


def _one_time_token_item(one_time_token: OneTimeToken) -> dict[str, Any]:
    return {
        "purpose": one_time_token.purpose,
        "digest": one_time_token.digest,
        "pepper_version": one_time_token.pepper_version,
        "expires_at": epoch_seconds(one_time_token.expires_at),
    }


def _read_one_time_token(item: Mapping[str, Any]) -> OneTimeToken:
    return OneTimeToken(
        item["purpose"], item["digest"], item["pepper_version"], datetime.fromtimestamp(item["expires_at"], UTC)
    )
