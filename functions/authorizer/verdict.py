"""The authorizer's verdicts and their cache.

A verdict is cached for at most 30 seconds, and never longer than the credential is valid. Rejections of unauthenticated
credentials are not cached, because anyone could fill the cache with such rejections.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from atrium.kernel.clock import Clock
from cachetools import TLRUCache

KEPT_SECONDS = 30
ENTRIES_MAX = 1_000

type PolicyAnswer = dict[str, object]


@dataclass(frozen=True, slots=True)
class Verdict:
    """The verdict on a request. `context` is the call's context if allowed, else the error code and detail."""

    allowed: bool
    principal_id: str
    context: Mapping[str, str | int | bool]

    def render(self, method_arn: str) -> PolicyAnswer:
        """Return the authorizer's response. The policy applies to all routes of the stage; routes check the scopes."""
        return {
            "principalId": self.principal_id,
            "policyDocument": {
                "Version": "2012-10-17",
                "Statement": [
                    {
                        "Action": "execute-api:Invoke",
                        "Effect": "Allow" if self.allowed else "Deny",
                        "Resource": _every_route(method_arn),
                    }
                ],
            },
            "context": dict(self.context),
        }


@dataclass(frozen=True, slots=True)
class CachedVerdict:
    """A verdict, and the time at which the credential expires. None means that the credential does not expire."""

    verdict: Verdict
    ends_at: datetime | None = None


type VerdictCache = TLRUCache[str, CachedVerdict, datetime]


def new_verdict_cache(clock: Clock) -> VerdictCache:
    """Return an empty cache of verdicts. The key is the credential's fingerprint."""
    return TLRUCache(ENTRIES_MAX, _expiry, timer=clock)


def _expiry(_fingerprint: str, cached: CachedVerdict, now: datetime) -> datetime:
    until = now + timedelta(seconds=KEPT_SECONDS)
    return until if cached.ends_at is None else min(until, cached.ends_at)


def _every_route(method_arn: str) -> str:
    """Return the ARN that matches all methods of the stage (`arn:…:<api>/<stage>/*/*`)."""
    api, stage, *_ = method_arn.split("/")
    return f"{api}/{stage}/*/*"
