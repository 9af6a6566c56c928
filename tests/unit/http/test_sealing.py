"""A sealed answer opens with the same credential and key, for the same call."""

import pytest
from atrium.http.saved_answers import seal, unseal
from atrium.kernel.errors import Conflict

PARTS = {"credential": "atr_dev_abc", "key": "k", "digest": "d"}


def test_it_opens_again() -> None:
    assert unseal(seal(b"hush", **PARTS), **PARTS) == b"hush"


def test_twice_the_same_is_not_the_same() -> None:
    assert seal(b"hush", **PARTS) != seal(b"hush", **PARTS)


@pytest.mark.parametrize("changed", PARTS)
def test_it_opens_to_nothing_else(changed: str) -> None:
    sealed = seal(b"hush", **PARTS)
    assert b"hush" not in sealed
    with pytest.raises(Conflict):
        unseal(sealed, **{**PARTS, changed: "another"})


def test_a_changed_byte_is_noticed() -> None:
    sealed = bytearray(seal(b"hush", **PARTS))
    sealed[-1] ^= 1
    with pytest.raises(Conflict):
        unseal(bytes(sealed), **PARTS)
