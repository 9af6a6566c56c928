"""The model of a tenant's API key for a model provider."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

type KeyStatus = Literal["valid", "rejected"]

KEY_CHARACTERS_MIN = 20
"""A shorter key would be shown in large part by its prefix and end."""
KEY_CHARACTERS_MAX = 500
_PREFIX, _END = 7, 4


@dataclass(frozen=True, slots=True)
class Rejection:
    """The first rejection of a key during a turn. `provider_status` is 401 or 403."""

    provider_status: int
    model: str
    at: datetime


@dataclass(frozen=True, slots=True)
class ModelKey:
    """An API key without its value. `version` is the number of times that a key of this provider was set."""

    provider: str
    prefix: str
    encrypted: bytes = field(repr=False)
    version: int
    checked_at: datetime
    created_at: datetime
    updated_at: datetime
    rejection: Rejection | None = None

    @property
    def status(self) -> KeyStatus:
        return "rejected" if self.rejection else "valid"


def purpose_of(provider: str) -> str:
    """Return the purpose of a key's encryption. A key cannot be decrypted as the key of another provider."""
    return f"model-key:{provider}"


def shorten(key: str) -> str:
    """Return the first and the last characters of a key, by which a person recognises it."""
    return f"{key[:_PREFIX]}…{key[-_END:]}"
