"""Forms of texts that people write, and the words in which what does not fit is refused."""

from collections.abc import Mapping, Sequence
from typing import Any

WORDS: dict[str, str] = {}
"""The words for each pattern that was named here."""


def form(pattern: str, words: str) -> str:
    """Name a pattern: who sends what does not fit reads the words, not the pattern."""
    WORDS[pattern] = words
    return pattern


def describe_faults(extensions: Mapping[str, Any] | None) -> str:
    """Return what the first of a refusal's `errors` says: which field, and what is valid. Empty without any."""
    errors: Sequence[Mapping[str, Any]] = (extensions or {}).get("errors") or ()
    if not errors:
        return ""
    place, *parts = errors[0]["loc"]
    name = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts).removeprefix(".")
    prefix = "" if place == "body" else f"{place} parameter " if place == "query" else f"{place} "
    where = f"{prefix}`{name}`" if name else f"the {place}"
    more = f" (and {len(errors) - 1} more in `errors`)" if len(errors) > 1 else ""
    return f"{where}: {errors[0]['msg']}{more}"
