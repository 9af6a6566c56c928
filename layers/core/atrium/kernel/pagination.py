"""Pages of lists and their encrypted cursors.

A cursor contains the position of the next page, and is valid only for one tenant and list. A forged cursor, or a cursor
of another tenant or list, is rejected.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from atrium.kernel.crypto import decode_base64url, encode_base64url, hmac_sha256, same
from atrium.kernel.errors import InvalidCursor

LIMIT_DEFAULT = 20
LIMIT_MAX = 100
_MAC_BYTES = 16
_BLOCK_BYTES = 32

type Position = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Page[Item]:
    """One page of a list: the items in order, and the position of the next page (None on the last page)."""

    items: list[Item]
    position: Position | None

    def map[Other](self, convert: Callable[[Item], Other]) -> "Page[Other]":
        return Page([convert(item) for item in self.items], self.position)


@dataclass(frozen=True, slots=True)
class PageRequest:
    """The maximum number of items of a page, and the position at which the page starts."""

    limit: int = LIMIT_DEFAULT
    position: Position | None = None


class CursorSigner:
    """Encrypts positions as cursors, and decrypts cursors.

    `read_key` is called for each cursor, so that the current key is used.
    """

    def __init__(self, read_key: Callable[[], bytes]) -> None:
        self._read_key = read_key

    def sign(self, position: Position | None, *, scope: str) -> str | None:
        """Return the cursor for a position in the list that `scope` identifies (tenant, list and filters)."""
        if position is None:
            return None
        body = json.dumps(dict(position), separators=(",", ":"), sort_keys=True).encode()
        key = self._read_key()
        mac = _mac(key, body, scope)
        return encode_base64url(mac + _xor_keystream(key, body, mac))

    def open(self, cursor: str | None, *, scope: str) -> Position | None:
        """Return the position in a cursor; raise `InvalidCursor` if the cursor was not created for this scope."""
        if cursor is None:
            return None
        try:
            raw = decode_base64url(cursor)
        except ValueError as error:
            raise InvalidCursor from error
        key, mac = self._read_key(), raw[:_MAC_BYTES]
        body = _xor_keystream(key, raw[_MAC_BYTES:], mac)
        if not same(mac, _mac(key, body, scope)):
            raise InvalidCursor
        position: dict[str, str] = json.loads(body)
        return position


def _xor_keystream(key: bytes, body: bytes, mac: bytes) -> bytes:
    """Encrypt or decrypt the body of a cursor.

    The MAC of the plaintext is the synthetic IV, so equal positions in a list give equal cursors.
    """
    blocks = range(-(-len(body) // _BLOCK_BYTES))
    stream = b"".join(hmac_sha256(key, b"veil" + mac + block.to_bytes(4)) for block in blocks)
    return bytes(left ^ right for left, right in zip(body, stream, strict=False))


def _mac(key: bytes, body: bytes, scope: str) -> bytes:
    return hmac_sha256(key, b"mac" + scope.encode() + b"\0" + body)[:_MAC_BYTES]


def read_all[Item](lister: Callable[[PageRequest], Page[Item]]) -> Iterator[Item]:
    """Yield all items of a list, one page at a time."""
    position: Position | None = None
    while True:
        page = lister(PageRequest(LIMIT_MAX, position))
        yield from page.items
        position = page.position
        if position is None:
            return
