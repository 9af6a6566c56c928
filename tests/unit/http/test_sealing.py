"""An encrypted saved response can be decrypted only with the same credential, idempotency key and request digest."""

import pytest
from atrium.http.saved_answers import seal, unseal
from atrium.kernel.errors import Conflict

PARTS = {"credential": "atr_dev_abc", "key": "k", "digest": "d"}


def test_decrypts_with_the_same_credential() -> None:
    assert unseal(seal(b"hush", **PARTS), **PARTS) == b"hush"


def test_encrypts_the_same_answer_differently() -> None:
    assert seal(b"hush", **PARTS) != seal(b"hush", **PARTS)


@pytest.mark.parametrize("changed", PARTS)
def test_does_not_decrypt_with_anything_else(changed: str) -> None:
    sealed = seal(b"hush", **PARTS)
    assert b"hush" not in sealed
    with pytest.raises(Conflict):
        unseal(sealed, **{**PARTS, changed: "another"})


def test_detects_a_changed_byte() -> None:
    sealed = bytearray(seal(b"hush", **PARTS))
    sealed[-1] ^= 1
    with pytest.raises(Conflict):
        unseal(bytes(sealed), **PARTS)
