"""Stores the last fetched keys of identity providers in the table, for all containers.

Before a container fetches keys, it claims the attempt with a conditional write. So the keys of a provider are fetched
at most once in 30 seconds, regardless of the number of tokens. After repeated failures, the interval increases to 5
minutes.
"""

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast

from atrium.identity.providers.fetching import FetchFault
from atrium.identity.providers.jwks import PublicJwk
from atrium.identity.providers.model import IdentityProvider
from atrium.kernel.clock import format_time, parse_time
from atrium.kernel.errors import ConditionFailed
from atrium.kernel.ids import IdentityProviderId
from atrium.storage import provider_keys
from atrium.storage.table import TenantTable
from atrium.storage.writes import Update

ATTEMPT_SECONDS_MIN = 30
_BACKOFF_SECONDS_MAX = 300
_FETCH_UNDERWAY = timedelta(seconds=4)
_FRESH = timedelta(hours=1)
_USABLE = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class KeySet:
    """The keys of a provider, and the result of the latest attempt to fetch them.

    `source` is the digest of the URLs from which the keys were fetched. `claim` identifies the latest attempt.
    """

    source: str
    keys: Sequence[PublicJwk]
    fetched_at: datetime | None
    tried_at: datetime
    next_try_at: datetime
    failures: int
    fault: FetchFault | None
    claim: str
    underway: bool

    def is_usable(self, now: datetime) -> bool:
        """Return whether the keys may be used. If the issuer is unreachable, its keys may be used for up to one day."""
        return self.fetched_at is not None and now - self.fetched_at < _USABLE

    def is_fresh(self, now: datetime) -> bool:
        return self.fetched_at is not None and now - self.fetched_at < _FRESH

    def is_underway(self, now: datetime) -> bool:
        """Return whether a container is fetching the keys now."""
        return self.underway and now - self.tried_at < _FETCH_UNDERWAY


@dataclass(frozen=True, slots=True)
class KeySetStore:
    """Reads and writes the key sets of one tenant's issuers."""

    table: TenantTable

    def get(self, provider: IdentityProvider) -> KeySet | None:
        key = provider_keys.key_set(provider.id)
        return read_key_set_item(self.table.batch_get([key]).get(key), provider)

    def claim(self, provider: IdentityProvider, *, now: datetime) -> KeySet | None:
        """Claim an attempt to fetch the keys and return the key set, or None if the next attempt is not yet allowed."""
        values = {
            "claim": secrets.token_hex(8),
            "now": format_time(now),
            "next": format_time(now + timedelta(seconds=ATTEMPT_SECONDS_MIN)),
            "source": provider.source,
            "yes": True,
        }
        expression = (
            "SET #claim = :claim, #tried_at = :now, #next_try_at = :next, #asked_for = :source, #underway = :yes"
        )
        due = "attribute_not_exists(#next_try_at) OR #next_try_at <= :now OR #asked_for <> :source"
        try:
            item = self.table.write(Update(provider_keys.key_set(provider.id), expression, due, values))
        except ConditionFailed:
            return None
        return read_key_set_item(item, provider)

    def record_keys(
        self, provider: IdentityProvider, attempt: KeySet, found: Sequence[PublicJwk], *, now: datetime
    ) -> None:
        """Store the fetched keys, unless a later attempt has started."""
        values = {
            "keys": json.dumps([dict(key) for key in found]),
            "source": provider.source,
            "now": format_time(now),
            "none": 0,
            "claim": attempt.claim,
        }
        expression = (
            "SET #keys = :keys, #source = :source, #fetched_at = :now, #failures = :none REMOVE #fault, #underway"
        )
        self._finish(provider.id, expression, values)

    def record_fault(self, provider: IdentityProvider, attempt: KeySet, fault: FetchFault, *, now: datetime) -> None:
        """Store the failure of an attempt, unless a later attempt has started.

        The delay before the next attempt doubles with each failure, up to 5 minutes.
        """
        failures = attempt.failures + 1
        pause = min(ATTEMPT_SECONDS_MIN * 2 ** min(failures - 1, 10), _BACKOFF_SECONDS_MAX)
        values = {
            "fault": fault,
            "failures": failures,
            "next": format_time(now + timedelta(seconds=pause)),
            "claim": attempt.claim,
        }
        expression = "SET #fault = :fault, #failures = :failures, #next_try_at = :next REMOVE #underway"
        self._finish(provider.id, expression, values)

    def _finish(self, provider_id: IdentityProviderId, expression: str, values: Mapping[str, Any]) -> None:
        try:
            self.table.write(Update(provider_keys.key_set(provider_id), expression, "#claim = :claim", values))
        except ConditionFailed:
            return


def read_key_set_item(item: Mapping[str, Any] | None, provider: IdentityProvider) -> KeySet | None:
    """Return the key set that is stored in an item, or None if the latest attempt was for a different source.

    Keys that were fetched from a different source are omitted.
    """
    if item is None or item.get("asked_for") != provider.source:
        return None
    own = item.get("source") == provider.source
    return KeySet(
        source=provider.source,
        keys=json.loads(item["keys"]) if own else (),
        fetched_at=parse_time(item["fetched_at"]) if own else None,
        tried_at=parse_time(item["tried_at"]),
        next_try_at=parse_time(item["next_try_at"]),
        failures=item.get("failures", 0),
        fault=cast("FetchFault | None", item.get("fault")),
        claim=item["claim"],
        underway=item.get("underway", False),
    )
