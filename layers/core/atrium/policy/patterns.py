"""Names with wildcards: `*` stands for any characters, also none, also `/` and `:`; nothing else is special.

Matched without regular expressions, so that no pattern of a tenant's can be made slow.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

WILDCARD = "*"


def match(pattern: str, name: str) -> bool:
    """Tell whether a name fits a pattern; upper and lower case differ."""
    first, *others = pattern.split(WILDCARD)
    if not others:
        return first == name
    last = others.pop()
    if len(name) < len(first) + len(last) or not (name.startswith(first) and name.endswith(last)):
        return False
    at, end = len(first), len(name) - len(last)
    for part in others:
        found = name.find(part, at, end)  # the leftmost place is as good as any: it leaves most for the rest
        if found < 0:
            return False
        at = found + len(part)
    return True


@dataclass(frozen=True, slots=True)
class Patterns:
    """Several patterns, of which one has to fit."""

    exact: frozenset[str]
    wild: tuple[Callable[[str], bool], ...]

    @classmethod
    def of(cls, patterns: Iterable[str]) -> "Patterns":
        wild = tuple(_matcher(pattern) for pattern in patterns if WILDCARD in pattern)
        return cls(frozenset(pattern for pattern in patterns if WILDCARD not in pattern), wild)

    def fit(self, name: str) -> bool:
        return name in self.exact or any(matches(name) for matches in self.wild)

    def fit_any(self, names: frozenset[str]) -> bool:
        return not self.exact.isdisjoint(names) or any(matches(name) for matches in self.wild for name in names)


def _matcher(pattern: str) -> Callable[[str], bool]:
    return lambda name: match(pattern, name)
