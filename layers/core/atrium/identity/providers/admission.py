"""Decides whether to accept a token of a tenant's identity provider. Finds the provider, the key and the user.

If the caches are filled, a decision needs one batch read in the tenant's partition. The caches contain the tenant and
provider of each issuer and audience, the keys of each provider, and the last known user of each subject.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from cachetools import LRUCache

from atrium.audit.model import Origin
from atrium.audit.service import AuditService
from atrium.audit.store import AuditStore
from atrium.identity.principals import principal_of_user
from atrium.identity.providers.assertion import Assertion, Claimed, read_claimed, verify_token
from atrium.identity.providers.external_identities import ExternalIdentities, UnknownSubject
from atrium.identity.providers.fetching import PASSING
from atrium.identity.providers.key_finder import KeyFinder, KeysUnreachable, KeyUnknown
from atrium.identity.providers.key_sets import KeySetStore, read_key_set_item
from atrium.identity.providers.mapping import map_claims
from atrium.identity.providers.markers import MarkerCache
from atrium.identity.providers.model import IdentityProvider, person_digest
from atrium.identity.providers.store import IssuerRegistry, Place, read_provider
from atrium.identity.users.model import User
from atrium.identity.verification import Decision, Refused, RejectedTenant, VerifiedCredential
from atrium.kernel.clock import Clock, epoch_seconds
from atrium.kernel.errors import CountExceeded, Forbidden, TenantInactive, Unauthenticated, Unavailable, UserSuspended
from atrium.kernel.ids import IdentityProviderId, TenantId, UserId
from atrium.storage import keys, provider_keys
from atrium.storage.keys import Key
from atrium.storage.table import TenantTable
from atrium.tenants.model import Tenant
from atrium.tenants.plans import PLANS
from atrium.tenants.store import read_tenant

SUBJECTS_MAX = 5_000

type SubjectCache = LRUCache[tuple[IdentityProviderId, str], UserId]
"""A cache of the last known user of each subject, by provider and digest of the subject.

With the cached user id, the user is read in the same batch as the link of the subject. The link is authoritative.
"""


@dataclass(frozen=True, slots=True)
class Trust:
    """The tenant and provider of a token, and the link of its subject. `found` contains all items of the batch read."""

    tenant: Tenant
    provider: IdentityProvider
    link: Mapping[str, Any] | None
    found: Mapping[Key, Mapping[str, Any]]


@dataclass
class ForeignTokens:
    """Decides whether to accept tokens of external issuers. The caches are in the memory of one container."""

    registry: IssuerRegistry
    table_of: Callable[[TenantId], TenantTable]
    finder: KeyFinder
    clock: Clock
    markers: MarkerCache = field(init=False)
    subjects: SubjectCache = field(default_factory=lambda: LRUCache(SUBJECTS_MAX))

    def __post_init__(self) -> None:
        self.markers = MarkerCache(self.clock)

    def decide(self, text: str, wanted: str, origin: Origin) -> Decision:
        """Return the decision about a token. `wanted` is the tenant in the header `X-Tenant-ID`, or "".

        Raises `Unavailable` if the issuer's keys cannot be fetched at the moment.
        """
        now = self.clock()
        try:
            claimed = read_claimed(text)
        except Unauthenticated as error:
            return Refused(Unauthenticated, error.internal)
        trust = self._find_trust(claimed, wanted)
        if isinstance(trust, Refused):
            return trust
        table = self.table_of(trust.tenant.id)
        audit = AuditService(AuditStore(table), origin, PLANS[trust.tenant.plan].audit_days, self.clock)
        decision = self._verify(text, claimed, trust, table, audit, now)
        return replace(decision, named=_rejected_tenant(trust)) if isinstance(decision, Refused) else decision

    def _find_trust(self, claimed: Claimed, wanted: str) -> Trust | Refused:
        places = self.markers.find(claimed.issuer, claimed.audiences, self.registry)
        if len({place.tenant_id for place in places}) > 1:
            places = [place for place in places if place.tenant_id == wanted]
        if not places:
            return Refused(Unauthenticated, "no identity provider has this issuer and audience")
        trust = self._read_trust(claimed, places[0])
        if trust is None:
            self.markers.drop(claimed.issuer, claimed.audiences)
        return trust or Refused(Unauthenticated, "the identity provider does not exist or is not enabled")

    def _read_trust(self, claimed: Claimed, place: Place) -> Trust | None:
        digest = person_digest(claimed.issuer, claimed.subject)
        person, guess = provider_keys.external_identity(digest), self.subjects.get((place.provider_id, digest))
        wanted = [keys.tenant(), provider_keys.identity_provider(place.provider_id), person]
        if guess is not None:
            wanted.append(keys.user(guess))
        if self.finder.recall(place.provider_id, claimed.kid) is None:
            wanted.append(provider_keys.key_set(place.provider_id))
        found = self.table_of(place.tenant_id).batch_get(wanted)
        if wanted[0] not in found or wanted[1] not in found:
            return None
        tenant, provider = read_tenant(found[wanted[0]]), read_provider(found[wanted[1]])
        matches = provider.issuer == claimed.issuer and provider.audience in claimed.audiences
        if not (matches and provider.enabled and tenant.is_visible):
            return None
        return Trust(tenant, provider, found.get(person), found)

    def _verify(
        self, text: str, claimed: Claimed, trust: Trust, table: TenantTable, audit: AuditService, now: datetime
    ) -> Decision:
        provider = trust.provider
        if claimed.algorithm not in provider.algorithms:
            return Refused(Unauthenticated, "the token's algorithm is not allowed for the provider")
        known = self.finder.recall(provider.id, claimed.kid) or read_key_set_item(
            trust.found.get(provider_keys.key_set(provider.id)), provider
        )
        key = self.finder.find(provider, claimed.kid, claimed.algorithm, known, KeySetStore(table))
        if isinstance(key, KeysUnreachable):
            reason = f"the issuer's keys cannot be fetched: {key.fault}"
            if key.fault in PASSING:
                raise Unavailable(internal=reason, retry_after_seconds=1)
            return Refused(Unauthenticated, reason)
        if isinstance(key, KeyUnknown):
            return Refused(Unauthenticated, "the issuer has no key with this kid")
        try:
            assertion = verify_token(text, claimed, key, provider, now=epoch_seconds(now))
        except Unauthenticated as error:
            return Refused(Unauthenticated, error.internal)
        if not trust.tenant.is_active:
            return Refused(TenantInactive, f"tenant is {trust.tenant.status}", provider.id)
        return self._admit(assertion, trust, ExternalIdentities(table, audit, self.clock))

    def _admit(self, assertion: Assertion, trust: Trust, external_identities: ExternalIdentities) -> Decision:
        profile = map_claims(assertion.claims, trust.provider)
        try:
            user = external_identities.recognise(
                trust.provider.subject_source, assertion.subject, profile, trust.tenant, trust.link, trust.found,
                issued_at=int(assertion.claims["iat"]),
            )  # fmt: skip
        except CountExceeded as full:
            return Refused(CountExceeded, full.detail, trust.provider.id)
        except TenantInactive:
            return Refused(TenantInactive, "the tenant was deleted", trust.provider.id)
        if isinstance(user, UnknownSubject):
            return Refused(Forbidden, user.reason, trust.provider.id)
        self.subjects[trust.provider.id, person_digest(assertion.issuer, assertion.subject)] = user.id
        if _is_older_than_logout(assertion, trust.tenant, user):
            return Refused(Unauthenticated, "the token was issued before a logout", user.id)
        if user.status == "suspended":
            return Refused(UserSuspended, "user is suspended", user.id)
        principal = principal_of_user(user, role=profile.role)
        return VerifiedCredential(principal, trust.tenant, datetime.fromtimestamp(assertion.expires_at, UTC))


def _is_older_than_logout(assertion: Assertion, tenant: Tenant, user: User) -> bool:
    """Return whether a token was issued before the last logout of its user or tenant, or in the same second."""
    ends = [ended for ended in (tenant.logins_ended_at, user.logins_ended_at) if ended is not None]
    return bool(ends) and int(assertion.claims["iat"]) <= epoch_seconds(max(ends))


def _rejected_tenant(trust: Trust) -> RejectedTenant:
    provider_id = trust.provider.id
    details = {"by": "identity provider", "provider": provider_id}
    return RejectedTenant(trust.tenant.id, trust.tenant, details=details, likes=provider_id)
