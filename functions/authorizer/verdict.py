"""What API Gateway is told, and for how long it is remembered here: at most 30 seconds, and never longer than the
credential itself holds. A refusal of a credential that has not proven itself is not remembered: anyone could fill
the memory with those.
"""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

KEPT_SECONDS = 30
ENTRIES_MAX = 1_000

type PolicyAnswer = dict[str, object]


@dataclass(frozen=True, slots=True)
class Verdict:
    """Allow with the context of the call, or deny with its code."""

    allowed: bool
    principal_id: str
    context: Mapping[str, str | int | bool]

    def render(self, method_arn: str) -> PolicyAnswer:
        """Return the authorizer's answer. Its policy is for every route of the stage: scopes are the routes' matter."""
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


@dataclass(slots=True)
class VerdictCache:
    """The verdicts of this container, the least recently used given up first."""

    _entries: OrderedDict[str, tuple[datetime, Verdict]] = field(default_factory=OrderedDict)

    def find(self, fingerprint: str, now: datetime) -> Verdict | None:
        entry = self._entries.get(fingerprint)
        if entry is None:
            return None
        if entry[0] <= now:
            del self._entries[fingerprint]
            return None
        self._entries.move_to_end(fingerprint)
        return entry[1]

    def keep(self, fingerprint: str, verdict: Verdict, now: datetime, *, ends_at: datetime | None = None) -> None:
        until = now + timedelta(seconds=KEPT_SECONDS)
        self._entries[fingerprint] = (until if ends_at is None else min(until, ends_at), verdict)
        self._entries.move_to_end(fingerprint)
        if len(self._entries) > ENTRIES_MAX:
            self._entries.popitem(last=False)

    def __len__(self) -> int:
        return len(self._entries)


def _every_route(method_arn: str) -> str:
    """Return `arn:…:<api>/<stage>/*/*` for a method's ARN."""
    api, stage, *_ = method_arn.split("/")
    return f"{api}/{stage}/*/*"
