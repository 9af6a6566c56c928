"""Stores calls and their responses for one day under their `Idempotency-Key`.

    no item ── begin ──> running (mark with a deadline) ── complete ──> done (response or run, 24 h)
                            └─────── abandon, or the deadline passes ──> no item

The write conditions check the expiry; the table's TTL only deletes expired items. A mark belongs to the call that wrote
it. After the deadline of the mark, another call can replace the mark, and the first call can then neither complete nor
abandon. If the response to the write in `begin` is lost, the SDK repeats the write. The repeated write succeeds,
because the item already has the same mark.

A response with a secret is encrypted with AES-256-GCM; the call's digest is the associated data. The encryption key is
derived from the caller's credential and the idempotency key. Neither is stored, so the response can be read again only
with the same credential.
"""

import os
import secrets
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from atrium.kernel.clock import Clock
from atrium.kernel.crypto import sha256_hex
from atrium.kernel.errors import ConditionFailed, Conflict, IdempotencyInProgress, IdempotencyKeyReused
from atrium.storage.keys import Key, idempotency
from atrium.storage.table import PlatformTable, TenantTable
from atrium.storage.writes import Delete, Put, Update

_NONCE_BYTES = 12
_INFO = b"atrium saved answer 1"

type Saved = SavedAnswer | SavedRun

KEPT_SECONDS = 86_400
DEADLINE_SECONDS_MAX = 900
ANSWER_BYTES_MAX = 300_000
_FREE = "attribute_not_exists(pk) OR #expires_at <= :now OR (#state = :running AND #ends_at <= :now) OR #mark = :mark"
_OWN = "#mark = :mark AND #state = :running"


def seal(body: bytes, *, credential: str, key: str, digest: str) -> bytes:
    """Encrypt a response body and return the nonce followed by the ciphertext."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    nonce = os.urandom(_NONCE_BYTES)
    return nonce + AESGCM(_derive(credential, key)).encrypt(nonce, body, digest.encode())


def unseal(sealed: bytes, *, credential: str, key: str, digest: str) -> bytes:
    """Decrypt a response body; raise `Conflict` if the original call had another credential."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    try:
        nonce, ciphertext = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
        return AESGCM(_derive(credential, key)).decrypt(nonce, ciphertext, digest.encode())
    except InvalidTag as error:
        raise Conflict(
            "This call was executed with another credential. Repeat it with that credential to read its response."
        ) from error


def _derive(credential: str, key: str) -> bytes:
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    return HKDF(SHA256(), length=32, salt=key.encode(), info=_INFO).derive(credential.encode())


@dataclass(frozen=True, slots=True)
class CallKey:
    """The identity of a call: its principal, method, path and idempotency key.

    `fingerprint` is an HMAC of the query and the body. A repeated call must have the same fingerprint.
    """

    principal_id: str
    method: str
    path: str
    key: str
    fingerprint: str

    @property
    def digest(self) -> str:
        return sha256_hex("\0".join([self.principal_id, self.method, self.path, self.key]).encode())


@dataclass(frozen=True, slots=True)
class Mark:
    """The right to execute a call, which ends with `complete` or `abandon`."""

    digest: str
    token: str


@dataclass(frozen=True, slots=True)
class SavedAnswer:
    """A saved response. If `sealed` is true, the body is encrypted (`seal`)."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    sealed: bool = False


@dataclass(frozen=True, slots=True)
class SavedRun:
    """The run that a call started. The response is replayed from the stored run."""

    run_id: str


class IdempotencyStore:
    """Stores the calls of one tenant or of the platform, with their responses."""

    def __init__(self, table: TenantTable | PlatformTable, clock: Clock) -> None:
        self._table = table
        self._clock = clock

    def begin(self, call: CallKey, *, ends_at_ms: int, instead_of: SavedRun | None = None) -> Mark | Saved:
        """Acquire the right to execute a call, or return its saved response. Costs one write.

        `ends_at_ms` is the function's deadline. `instead_of` is a saved run that failed and that this call may replace.
        Raises `IdempotencyKeyReused` if the query or body is different, and `IdempotencyInProgress` if the first call
        is still running.
        """
        now = self._now_ms()
        mark = Mark(call.digest, secrets.token_hex(16))
        expires_at = now + KEPT_SECONDS * 1000
        item = {
            "state": "running",
            "mark": mark.token,
            "fingerprint": call.fingerprint,
            "path": call.path,
            "ends_at": min(ends_at_ms, now + DEADLINE_SECONDS_MAX * 1000),
            "expires_at": expires_at,
            "ttl": expires_at // 1000,
        }
        values = {"now": now, "running": "running", "mark": mark.token}
        free = _FREE
        if instead_of is not None:
            free, values = f"{_FREE} OR #saved.#run_id = :old", {**values, "old": instead_of.run_id}
        try:
            self._table.write(Put(idempotency(mark.digest), item, free, values))
        except ConditionFailed as failed:
            return _recall(failed.item or self._table.get(idempotency(mark.digest)) or {}, call)
        return mark

    def complete(self, mark: Mark, saved: Saved) -> bool:
        """Save the response for 24 hours. Return False if another call has replaced the mark."""
        expires_at = self._now_ms() + KEPT_SECONDS * 1000
        values = {
            "mark": mark.token,
            "running": "running",
            "done": "done",
            "saved": _pack(saved),
            "expires_at": expires_at,
            "ttl": expires_at // 1000,
        }
        change = "SET #state = :done, #saved = :saved, #expires_at = :expires_at, #ttl = :ttl REMOVE #ends_at"
        return self._settle(Update(idempotency(mark.digest), change, _OWN, values))

    def abandon(self, mark: Mark) -> bool:
        """Delete the mark, so that the key can be used again. Return False if another call has replaced the mark."""
        key: Key = idempotency(mark.digest)
        return self._settle(Delete(key, _OWN, {"mark": mark.token, "running": "running"}))

    def _settle(self, write: Update | Delete) -> bool:
        try:
            self._table.write(write)
        except ConditionFailed:
            return False
        return True

    def _now_ms(self) -> int:
        return int(self._clock().timestamp() * 1000)


def _recall(item: Mapping[str, Any], call: CallKey) -> Saved:
    if item and item["fingerprint"] != call.fingerprint:
        raise IdempotencyKeyReused
    if not item or item["state"] == "running":
        raise IdempotencyInProgress(retry_after_seconds=1)
    return _unpack(item["saved"])


def _pack(saved: Saved) -> dict[str, Any]:
    if isinstance(saved, SavedRun):
        return {"run_id": saved.run_id}
    body = zlib.compress(saved.body)
    kept = {"status": saved.status, "headers": dict(saved.headers), "sealed": saved.sealed}
    return kept | ({"body": body} if len(body) <= ANSWER_BYTES_MAX else {})


def _unpack(saved: Mapping[str, Any]) -> Saved:
    if "run_id" in saved:
        return SavedRun(saved["run_id"])
    if "body" not in saved:
        raise Conflict(
            "This call was executed, but its response was too large to save. Read the result with another call."
        )
    return SavedAnswer(saved["status"], saved["headers"], zlib.decompress(saved["body"]), saved["sealed"])
