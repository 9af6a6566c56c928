"""Caches the tenant and provider of each pair of issuer and audience.

The cache contains only the ids. Each decision reads the provider, to check that it exists and is enabled.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from cachetools import TTLCache

from atrium.identity.providers.store import IssuerRegistry, Place
from atrium.kernel.clock import Clock

KEPT_SECONDS = 3_600
UNKNOWN_KEPT_SECONDS = 10
ENTRIES_MAX = 1_000

type Pair = tuple[str, str]


class MarkerCache:
    """A cache of the registered and the unregistered pairs of issuer and audience.

    Unregistered pairs have a separate cache, so that tokens with invented issuers cannot evict registered pairs.
    """

    def __init__(self, clock: Clock) -> None:
        self._known: TTLCache[Pair, Place, datetime] = TTLCache(
            ENTRIES_MAX, timedelta(seconds=KEPT_SECONDS), timer=clock
        )
        self._unknown: TTLCache[Pair, None, datetime] = TTLCache(
            ENTRIES_MAX, timedelta(seconds=UNKNOWN_KEPT_SECONDS), timer=clock
        )

    def find(self, issuer: str, audiences: Sequence[str], registry: IssuerRegistry) -> list[Place]:
        """Return the tenants and providers that are registered for an issuer and its audiences, without duplicates.

        Pairs that are not cached are read in one batch.
        """
        places = {audience: self._known.get((issuer, audience)) for audience in audiences}
        uncached = [name for name, place in places.items() if place is None and (issuer, name) not in self._unknown]
        if uncached:
            found = registry.find(issuer, uncached)
            for audience in uncached:
                place = places[audience] = found.get(audience)
                if place is None:
                    self._unknown[issuer, audience] = None
                else:
                    self._known[issuer, audience] = place
        return list(dict.fromkeys(place for place in places.values() if place is not None))

    def drop(self, issuer: str, audiences: Sequence[str]) -> None:
        """Delete the cached tenants and providers of an issuer and its audiences."""
        for audience in audiences:
            self._known.pop((issuer, audience), None)
