"""Finds the key that a token names: in this process, in the table, at the issuer, in that order.

The issuer is asked when its keys are older than an hour or do not have the `kid`, never more often than
`key_sets.py` allows. While another container asks, this one waits for its answer for two seconds.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from cachetools import TTLCache

from atrium.egress.client import EgressClient
from atrium.identity.providers.fetching import FetchFailed, FetchFault, fetch_keys
from atrium.identity.providers.jwks import PublicJwk, VerificationKey, find_key
from atrium.identity.providers.key_sets import KeySet, KeySetStore
from atrium.identity.providers.model import IdentityProvider
from atrium.kernel.clock import Clock
from atrium.kernel.ids import IdentityProviderId

KEPT_SECONDS = 60
ENTRIES_MAX = 200
_WAITS = 8
_WAIT_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class KeyUnknown:
    """The issuer's keys are known, and none of them is meant."""


@dataclass(frozen=True, slots=True)
class KeysUnreachable:
    """The issuer's keys are not known."""

    fault: FetchFault


type KeyAnswer = VerificationKey | KeyUnknown | KeysUnreachable


@dataclass
class KeyFinder:
    """Finds keys, and caches the key sets of one container for a minute."""

    egress: EgressClient
    local_addresses: frozenset[str]
    clock: Clock
    pause: Callable[[float], None] = time.sleep
    _kept: TTLCache[IdentityProviderId, KeySet, datetime] = field(init=False)

    def __post_init__(self) -> None:
        self._kept = TTLCache(ENTRIES_MAX, timedelta(seconds=KEPT_SECONDS), timer=self.clock)

    def recall(self, provider_id: IdentityProviderId, kid: str) -> KeySet | None:
        """Return the cached key set if it has the key, so that the table need not be read."""
        kept = self._kept.get(provider_id)
        return kept if kept is not None and any(key.get("kid", "") == kid for key in kept.keys) else None

    def find(
        self, provider: IdentityProvider, kid: str, algorithm: str, known: KeySet | None, store: KeySetStore
    ) -> KeyAnswer:
        """Return the key, that there is none, or why that cannot be told. `known` is what the table has."""
        now = self.clock()
        if known is not None and known.source != provider.source:
            known = None
        usable = known is not None and known.is_usable(now)
        if known is not None and usable:
            self._kept[provider.id] = known
            key = find_key(known.keys, kid, algorithm)
            if key is not None and known.is_fresh(now):
                return key
        current = self._refresh(provider, known, store) or known
        return _look(current, kid, algorithm, now)

    def _refresh(self, provider: IdentityProvider, known: KeySet | None, store: KeySetStore) -> KeySet | None:
        """Ask the issuer if it may be asked, else wait for who does; None if neither."""
        now = self.clock()
        if known is not None and now < known.next_try_at:
            return self._wait(provider, store) if known.is_underway(now) else None
        attempt = store.claim(provider, now=now)
        if attempt is None:
            return self._wait(provider, store)
        found = fetch_keys(self.egress, provider, self.local_addresses)
        if isinstance(found, FetchFailed):
            store.record_fault(provider, attempt, found.fault, now=now)
        else:
            store.record_keys(provider, attempt, found, now=now)
        result = _after(attempt, found, now)
        if not isinstance(found, FetchFailed):
            self._kept[provider.id] = result
        return result

    def _wait(self, provider: IdentityProvider, store: KeySetStore) -> KeySet | None:
        for _ in range(_WAITS):
            current = store.get(provider)
            if current is None or not current.is_underway(self.clock()):
                return current
            self.pause(_WAIT_SECONDS)
        return None


def _look(current: KeySet | None, kid: str, algorithm: str, now: datetime) -> KeyAnswer:
    if current is None or not current.is_usable(now):
        return KeysUnreachable((current.fault if current else None) or "unreachable")
    return find_key(current.keys, kid, algorithm) or KeyUnknown()


def _after(attempt: KeySet, found: Sequence[PublicJwk] | FetchFailed, now: datetime) -> KeySet:
    """Return the set as it is after an attempt."""
    failed = isinstance(found, FetchFailed)
    return KeySet(
        source=attempt.source,
        keys=attempt.keys if isinstance(found, FetchFailed) else found,
        fetched_at=attempt.fetched_at if failed else now,
        tried_at=now,
        next_try_at=attempt.next_try_at,
        failures=attempt.failures + 1 if failed else 0,
        fault=found.fault if isinstance(found, FetchFailed) else None,
        claim=attempt.claim,
        underway=False,
    )
