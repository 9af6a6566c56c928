"""Finds the key that verifies a token: first in memory, then in the table, then at the issuer.

The keys are fetched from the issuer if the stored keys are older than one hour or do not contain the `kid`. The module
`key_sets` limits the number of fetches. A request waits at most 300 ms for a fetch by this or another container. If the
result does not arrive in time, requests do not wait for this issuer during the next three seconds.

A fetch runs in a separate thread for at most 2.5 s. If its request stops waiting, the fetch continues while the
container handles other requests. (Lambda freezes a container between requests.) The next request that needs the keys
uses the result. So keys can also be fetched from an issuer that is too slow for a single request.
"""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
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
WAIT_SECONDS_MAX = 0.3
SLOW_SECONDS = 3
# Greater than the maximum number of issuers of one tenant (20).
FETCHES_MAX = 32
_POLL_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class KeyUnknown:
    """The issuer's keys are known, and none of them matches the token."""


@dataclass(frozen=True, slots=True)
class KeysUnreachable:
    """The issuer's keys are not known, because they could not be fetched."""

    fault: FetchFault


type KeyAnswer = VerificationKey | KeyUnknown | KeysUnreachable


@dataclass
class KeyFinder:
    """Finds verification keys of issuers, and caches key sets in memory for one minute.

    Not thread-safe: make one call at a time.
    """

    egress: EgressClient
    local_addresses: frozenset[str]
    clock: Clock
    pause: Callable[[float], None] = time.sleep
    wait_seconds: float = WAIT_SECONDS_MAX
    _kept: TTLCache[IdentityProviderId, KeySet, datetime] = field(init=False)
    _slow: TTLCache[IdentityProviderId, bool, datetime] = field(init=False)
    _threads: ThreadPoolExecutor = field(init=False)
    _fetches: dict[IdentityProviderId, Future[KeySet]] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self._kept = TTLCache(ENTRIES_MAX, timedelta(seconds=KEPT_SECONDS), timer=self.clock)
        self._threads = ThreadPoolExecutor(FETCHES_MAX, thread_name_prefix="issuer-keys")
        self._slow = TTLCache(ENTRIES_MAX, timedelta(seconds=SLOW_SECONDS), timer=self.clock)

    def recall(self, provider_id: IdentityProviderId, kid: str) -> KeySet | None:
        """Return the cached key set of a provider if it contains a key with this `kid`, otherwise None."""
        kept = self._kept.get(provider_id)
        return kept if kept is not None and any(key.get("kid", "") == kid for key in kept.keys) else None

    def find(
        self, provider: IdentityProvider, kid: str, algorithm: str, known: KeySet | None, store: KeySetStore
    ) -> KeyAnswer:
        """Return the key with this `kid`, or the reason why there is none. `known` is the cached or stored key set."""
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
        waits = current is None or (current.is_underway(now) and not current.is_usable(now))
        if waits and provider.id in self._slow:
            return KeysUnreachable("slow")
        return _look(current, kid, algorithm, now)

    def _refresh(self, provider: IdentityProvider, known: KeySet | None, store: KeySetStore) -> KeySet | None:
        """Start a fetch of the keys if a fetch is allowed, or wait for a running fetch, and return the result.

        Returns None if a fetch is neither allowed nor running, or if the result did not arrive in time.
        """
        self._collect()
        now = self.clock()
        if provider.id in self._fetches:
            return self._await_own(provider)
        if known is not None and now < known.next_try_at:
            return self._await_other(provider, store) if known.is_underway(now) else None
        if len(self._fetches) >= FETCHES_MAX:
            self._slow[provider.id] = True
            return None
        attempt = store.claim(provider, now=now)
        if attempt is None:
            return self._await_other(provider, store)
        self._fetches[provider.id] = self._threads.submit(self._fetch, provider, attempt, store, now)
        return self._await_own(provider)

    def _fetch(self, provider: IdentityProvider, attempt: KeySet, store: KeySetStore, now: datetime) -> KeySet:
        """Fetch the keys from the issuer, store the result, and return the new key set."""
        found = fetch_keys(self.egress, provider, self.local_addresses)
        if isinstance(found, FetchFailed):
            store.record_fault(provider, attempt, found.fault, now=now)
        else:
            store.record_keys(provider, attempt, found, now=now)
        return _after(attempt, found, now)

    def _await_own(self, provider: IdentityProvider) -> KeySet | None:
        """Return the result of this container's fetch, or None if it did not arrive in time."""
        fetch = self._fetches[provider.id]
        try:
            result = fetch.result(0 if provider.id in self._slow else self.wait_seconds)
        except TimeoutError:
            self._slow[provider.id] = True
            return None
        self._collect()
        return result

    def _await_other(self, provider: IdentityProvider, store: KeySetStore) -> KeySet | None:
        """Return the result of another container's fetch, or None if it did not arrive in time."""
        ends_at = time.monotonic() + self.wait_seconds
        while provider.id not in self._slow:
            current = store.get(provider)
            if current is None or not current.is_underway(self.clock()):
                return current
            if time.monotonic() + _POLL_SECONDS > ends_at:
                self._slow[provider.id] = True
                break
            self.pause(_POLL_SECONDS)
        return None

    def _collect(self) -> None:
        """Cache the results of completed fetches, including fetches for which no request waits."""
        for provider_id, fetch in [*self._fetches.items()]:
            if not fetch.done():
                continue
            del self._fetches[provider_id]
            self._slow.pop(provider_id, None)
            if fetch.exception() is None and fetch.result().fault is None:
                self._kept[provider_id] = fetch.result()


def _look(current: KeySet | None, kid: str, algorithm: str, now: datetime) -> KeyAnswer:
    if current is None or not current.is_usable(now):
        return KeysUnreachable((current.fault if current else None) or "unreachable")
    return find_key(current.keys, kid, algorithm) or KeyUnknown()


def _after(attempt: KeySet, found: Sequence[PublicJwk] | FetchFailed, now: datetime) -> KeySet:
    """Return the key set after a successful or failed fetch."""
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
