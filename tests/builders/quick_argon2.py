"""Remembers the result of each password verification, which takes 30 ms by design, for the same hash and password."""

from functools import cache
from importlib import import_module
from typing import Any

from argon2.exceptions import VerificationError

_hashing: Any = import_module("argon2._password_hasher")
_verify = _hashing.verify_secret


def remember_verifications() -> None:
    """Patch argon2 so that a verification is calculated once per process. Idempotent."""
    _hashing.verify_secret = _verify_once


def _verify_once(*arguments: Any) -> bool:
    failure = _find_failure(*arguments)
    if failure is not None:
        raise failure[0](*failure[1])
    return True


@cache
def _find_failure(*arguments: Any) -> tuple[type[VerificationError], tuple[Any, ...]] | None:
    """Return the class and arguments of the error that a verification raises, or None."""
    try:
        _verify(*arguments)
    except VerificationError as failure:
        return type(failure), failure.args
    return None
