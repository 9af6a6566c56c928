"""Which tenant a token is for, by its issuer and audience: the platform's markers, as this container remembers them.

What is remembered only says where to look: whether the provider is there and enabled is read with each decision.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from atrium.identity.providers.store import IssuerRegistry, Place

KEPT_SECONDS = 3_600
UNKNOWN_KEPT_SECONDS = 10
ENTRIES_MAX = 1_000

type Pair = tuple[str, str]


@dataclass
class MarkerCache:
    """Pairs of issuer and audience, known and unknown apart: guesses cannot push out what is known."""

    _known: OrderedDict[Pair, tuple[datetime, Place]] = field(default_factory=OrderedDict)
    _unknown: OrderedDict[Pair, datetime] = field(default_factory=OrderedDict)

    def find(self, issuer: str, audiences: Sequence[str], registry: IssuerRegistry, now: datetime) -> list[Place]:
        """Return the places of a token's audiences, each once; one batch read where the memory does not say."""
        asked = [audience for audience in audiences if not self._remembers((issuer, audience), now)]
        if asked:
            found = registry.find(issuer, asked)
            for audience in asked:
                self._note((issuer, audience), found.get(audience), now)
        entries = [self._known.get((issuer, audience)) for audience in audiences]
        return list(dict.fromkeys(entry[1] for entry in entries if entry is not None))

    def drop(self, issuer: str, audiences: Sequence[str]) -> None:
        """Forget where a token's audiences lead: nobody is there any more."""
        for audience in audiences:
            self._known.pop((issuer, audience), None)

    def _remembers(self, pair: Pair, now: datetime) -> bool:
        known, unknown_since = self._known.get(pair), self._unknown.get(pair)
        if known is not None and now - known[0] < timedelta(seconds=KEPT_SECONDS):
            return True
        self._known.pop(pair, None)
        return unknown_since is not None and now - unknown_since < timedelta(seconds=UNKNOWN_KEPT_SECONDS)

    def _note(self, pair: Pair, place: Place | None, now: datetime) -> None:
        entries: OrderedDict[Pair, tuple[datetime, Place]] | OrderedDict[Pair, datetime]
        if place is None:
            self._unknown[pair] = now
            self._unknown.move_to_end(pair)
            entries = self._unknown
        else:
            self._unknown.pop(pair, None)
            self._known[pair] = (now, place)
            self._known.move_to_end(pair)
            entries = self._known
        if len(entries) > ENTRIES_MAX:
            entries.popitem(last=False)
