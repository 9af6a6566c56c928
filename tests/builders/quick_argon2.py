"""A cache of password verifications, each of which takes 30 ms by design."""

from importlib import import_module
from typing import Any

from argon2.exceptions import VerificationError

_hashing: Any = import_module("argon2._password_hasher")
_verify = _hashing.verify_secret
_failures: dict[tuple[Any, ...], VerificationError | None] = {}


def remember_verifications() -> None:
    """Patch argon2 so that each combination of hash and password is verified once per process. Idempotent."""
    _hashing.verify_secret = _verify_once


def _verify_once(*arguments: Any) -> bool:
    if arguments not in _failures:
        try:
            _verify(*arguments)
            _failures[arguments] = None
        except VerificationError as failure:
            _failures[arguments] = failure
    failed = _failures[arguments]
    if failed is not None:
        raise type(failed)(*failed.args)
    return True
