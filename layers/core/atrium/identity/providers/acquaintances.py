"""Whom a container has seen: which user a subject was, so that one batch can read him together with all else.

It decides nothing: the link that the same batch brings does. Without it the user would be read after his link.
"""

from collections import OrderedDict
from dataclasses import dataclass, field

from atrium.kernel.ids import IdentityProviderId, UserId

ENTRIES_MAX = 5_000

type Person = tuple[IdentityProviderId, str]


@dataclass
class Acquaintances:
    """The users by provider and digest of a subject, the least recently seen given up first."""

    _seen: OrderedDict[Person, UserId] = field(default_factory=OrderedDict)

    def guess(self, provider_id: IdentityProviderId, digest: str) -> UserId | None:
        """Return who it was the last time, if anybody."""
        return self._seen.get((provider_id, digest))

    def note(self, provider_id: IdentityProviderId, digest: str, user_id: UserId) -> None:
        person = (provider_id, digest)
        self._seen[person] = user_id
        self._seen.move_to_end(person)
        if len(self._seen) > ENTRIES_MAX:
            self._seen.popitem(last=False)
