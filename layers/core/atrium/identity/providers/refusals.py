"""Refused tokens that name a tenant are in its audit: the first of a provider and reason in each minute and container,
so that a flood of forgeries fills no tenant's audit.
"""

from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import datetime

from atrium.audit.service import AuditService
from atrium.identity.verification import Refused
from atrium.kernel.ids import IdentityProviderId

ENTRIES_MAX = 1_000


@dataclass
class RefusalNotes:
    """What this container has noted, and in which minute."""

    _noted: OrderedDict[tuple[str, str], datetime] = field(default_factory=OrderedDict)

    def note(self, audit: AuditService, provider_id: IdentityProviderId, refused: Refused, now: datetime) -> None:
        """Record a refusal unless its like was recorded in this minute."""
        minute, what = now.replace(second=0, microsecond=0), (provider_id, refused.reason)
        if self._noted.get(what) == minute:
            return
        self._noted[what] = minute
        self._noted.move_to_end(what)
        if len(self._noted) > ENTRIES_MAX:
            self._noted.popitem(last=False)
        details = {"by": "identity provider", "provider": provider_id, "code": refused.failure.code}
        audit.record("auth.refuse", {**details, "reason": refused.reason})
