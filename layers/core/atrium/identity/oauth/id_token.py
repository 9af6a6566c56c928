"""Identity tokens (OpenID Connect) for clients. Their header `typ` prevents their use as access tokens."""

import json
from datetime import datetime, timedelta
from typing import Any

from atrium.identity.oauth.codes import Code
from atrium.identity.tokens import sign_payload
from atrium.identity.users.model import User
from atrium.kernel.clock import epoch_seconds
from atrium.storage.secrets import SigningKey

ID_TOKEN_SECONDS = 900


def sign_id_token(code: Code, user: User, key: SigningKey, *, issuer: str, now: datetime) -> str:
    """Return the identity token of a login. The scope `email` adds the email, and the scope `profile` adds the name."""
    payload: dict[str, Any] = {
        "iss": issuer,
        "sub": user.id,
        "aud": code.client_id,
        "iat": epoch_seconds(now),
        "exp": epoch_seconds(now + timedelta(seconds=ID_TOKEN_SECONDS)),
        "auth_time": epoch_seconds(code.authenticated_at),
        "tenant_id": user.tenant_id,
    }
    if code.nonce:
        payload["nonce"] = code.nonce
    if "email" in code.scopes:
        payload["email"] = user.email
    if "profile" in code.scopes and user.name:
        payload["name"] = user.name
    return sign_payload(json.dumps(payload).encode(), key, kind="JWT")
