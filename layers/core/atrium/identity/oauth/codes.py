"""Authorization codes. A code can be used once within five minutes, by one client, with one redirect URI and verifier.

    atr_ac_<base62>   tenant ULID 16 | secret 24, with a MAC (`proven_text`)

The table key of a code contains the SHA-256 hash of the code. The item is kept for a day after the code expires, so
that a second use is detected. A second use revokes the login that was created with the code.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from atrium.identity.proven_text import SeekPepper, read_proven, write_proven
from atrium.kernel.clock import epoch_seconds, format_time, parse_time
from atrium.kernel.crypto import sha256_hex
from atrium.kernel.ids import FamilyId, TenantId, UserId, decode_ulid, encode_ulid, own_ulid
from atrium.settings import Environment
from atrium.storage import keys
from atrium.storage.secrets import Pepper
from atrium.storage.table import TenantTable
from atrium.storage.writes import EXISTS, NEW, Operation, Put, Update

HEAD = "atr_ac_"
CODE_SECONDS = 300
_KEPT = timedelta(days=1)
_SECRET_BYTES = 24
_LENGTH = 16 + _SECRET_BYTES


@dataclass(frozen=True, slots=True)
class Code:
    """The stored data of a code. `digest` is the SHA-256 hash of the code.

    `redirect_sent` is set if the authorization request contained the redirect URI. `family_id` is the login that was
    created with the code, or None if the code is unused.
    """

    digest: str
    client_id: str
    user_id: UserId
    redirect_uri: str
    redirect_sent: bool
    scopes: tuple[str, ...]
    code_challenge: str
    nonce: str
    token_version: int
    tenant_token_version: int
    authenticated_at: datetime
    expires_at: datetime
    family_id: FamilyId | None = None


def mint_code(environment: Environment, pepper: Pepper, tenant_id: TenantId) -> str:
    payload = decode_ulid(own_ulid(tenant_id)) + secrets.token_bytes(_SECRET_BYTES)
    return write_proven(HEAD, _label(environment), pepper, payload)


def tenant_of_code(text: str, environment: Environment, seek_pepper: SeekPepper) -> TenantId | None:
    """Return the tenant of a code, or None if the code was not issued in this environment."""
    found = read_proven(text, HEAD, _label(environment), _LENGTH, seek_pepper)
    return TenantId(f"ten_{encode_ulid(found[0][:16])}") if found else None


def digest_code(text: str) -> str:
    return sha256_hex(text.encode())


@dataclass(frozen=True, slots=True)
class CodeStore:
    """Reads and writes the codes of one tenant."""

    table: TenantTable

    def create(self, code: Code, also: list[Operation]) -> None:
        self.table.transact([Put(keys.oauth("CODE", code.digest), _item(code), NEW), *also])

    def get(self, digest: str) -> Code | None:
        item = self.table.get(keys.oauth("CODE", digest))
        return _read(item) if item else None

    def using(self, code: Code, family_id: FamilyId) -> Update:
        """Return the write that marks a code as used, for the transaction that creates the login."""
        condition = f"{EXISTS} AND attribute_not_exists(#family_id)"
        return Update(keys.oauth("CODE", code.digest), "SET #family_id = :family", condition, {"family": family_id})


def _item(code: Code) -> dict[str, Any]:
    return {
        "client_id": code.client_id,
        "user_id": code.user_id,
        "redirect_uri": code.redirect_uri,
        "redirect_sent": code.redirect_sent,
        "scopes": list(code.scopes),
        "code_challenge": code.code_challenge,
        "nonce": code.nonce or None,
        "token_version": code.token_version,
        "tenant_token_version": code.tenant_token_version,
        "authenticated_at": format_time(code.authenticated_at),
        "expires_at": format_time(code.expires_at),
        "digest": code.digest,
        "ttl": epoch_seconds(code.expires_at + _KEPT),
        "gsi1pk": keys.issued(),
        "gsi1sk": keys.issued_to(code.user_id, code.digest),
    }


def _read(item: Mapping[str, Any]) -> Code:
    family_id = item.get("family_id")
    return Code(
        digest=item["digest"],
        client_id=item["client_id"],
        user_id=UserId(item["user_id"]),
        redirect_uri=item["redirect_uri"],
        redirect_sent=item["redirect_sent"],
        scopes=tuple(item["scopes"]),
        code_challenge=item["code_challenge"],
        nonce=item.get("nonce", ""),
        token_version=item["token_version"],
        tenant_token_version=item["tenant_token_version"],
        authenticated_at=parse_time(item["authenticated_at"]),
        expires_at=parse_time(item["expires_at"]),
        family_id=FamilyId(family_id) if family_id else None,
    )


def _label(environment: Environment) -> str:
    return f"atrium authorization code 1 {environment}"
