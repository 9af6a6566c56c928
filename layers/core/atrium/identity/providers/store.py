"""Stores identity providers.

The provider's item in the tenant's partition is authoritative. A marker, which is a platform item, contains the tenant
and provider of an issuer and audience. The item and its marker are written separately: the marker is written before the
item is created, and deleted before the item is deleted. So after an interruption no token is accepted, and a repeated
call completes the operation. The markers of a deleted tenant are deleted. If a marker of a deleted tenant remains, the
next tenant that registers the issuer and audience replaces it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from atrium.identity.providers.model import PROVIDERS_MAX, ClaimMapping, IdentityProvider, pair_digest
from atrium.kernel.clock import format_time, parse_time
from atrium.kernel.errors import ConditionFailed, Conflict, NotFound, TenantInactive
from atrium.kernel.ids import IdentityProviderId, TenantId
from atrium.storage import provider_keys
from atrium.storage.table import PlatformTable, Query, TenantTable, TransactionRefused
from atrium.storage.writes import NEW, Delete, Operation, Put
from atrium.tenants.registry import TenantRegistry
from atrium.tenants.store import not_deleted

_DUPLICATE = "another identity provider of this tenant has this issuer and audience"

_TAKEN = "this issuer and audience are already registered; choose another audience"


@dataclass(frozen=True, slots=True)
class IdentityProviderStore:
    """Reads and writes the identity providers of one tenant."""

    table: TenantTable

    def create(self, provider: IdentityProvider, record: Put) -> None:
        """Write a new provider.

        Raises `Conflict` if the tenant has a provider with this issuer and audience, and `TenantInactive` if the tenant
        is deleted.
        """
        marker = provider_keys.provider_issuer(pair_digest(provider.issuer, provider.audience))
        operations: list[Operation] = [
            not_deleted(),
            Put(marker, {"provider_id": provider.id}, NEW),
            Put(provider_keys.identity_provider(provider.id), _item(provider), NEW),
            record,
        ]
        try:
            self.table.transact(operations)
        except TransactionRefused as refused:
            raise TenantInactive if 0 in refused.failed else Conflict(_DUPLICATE) from refused

    def replace(self, provider: IdentityProvider, before: IdentityProvider, record: Put) -> None:
        """Write a changed provider. If the source of its keys has changed, delete the stored keys.

        Raises `Conflict` for a concurrent change, or if another provider of the tenant has the issuer and audience.
        Raises `NotFound` if the provider was deleted, and `TenantInactive` if the tenant is deleted.
        """
        unchanged = {"before": format_time(before.updated_at), "source": before.source}
        condition = "#updated_at = :before AND #source = :source"
        operations: list[Operation] = [
            not_deleted(),
            Put(provider_keys.identity_provider(provider.id), _item(provider), condition, unchanged),
            record,
        ]
        if provider.source != before.source:
            operations.append(Delete(provider_keys.key_set(provider.id), ""))
        old, new = (pair_digest(each.issuer, each.audience) for each in (before, provider))
        if old != new:
            operations.append(Put(provider_keys.provider_issuer(new), {"provider_id": provider.id}, NEW))
            operations.append(Delete(provider_keys.provider_issuer(old), "#provider_id = :id", {"id": provider.id}))
        try:
            self.table.transact(operations)
        except TransactionRefused as refused:
            if 0 in refused.failed:
                raise TenantInactive from refused
            if 1 in refused.failed:
                self._refuse_change(provider.id, refused)
            raise Conflict(_DUPLICATE) from refused

    def delete(self, provider: IdentityProvider, record: Put) -> None:
        """Delete a provider and its stored keys; raise `Conflict` for a concurrent change, or `NotFound`."""
        pair = provider_keys.provider_issuer(pair_digest(provider.issuer, provider.audience))
        operations: list[Operation] = [
            Delete(
                provider_keys.identity_provider(provider.id),
                "#updated_at = :before",
                {"before": format_time(provider.updated_at)},
            ),
            Delete(pair, "#provider_id = :id", {"id": provider.id}),
            Delete(provider_keys.key_set(provider.id), ""),
            record,
        ]
        try:
            self.table.transact(operations)
        except TransactionRefused as refused:
            self._refuse_change(provider.id, refused)

    def get(self, provider_id: IdentityProviderId) -> IdentityProvider | None:
        item = self.table.get(provider_keys.identity_provider(provider_id))
        return read_provider(item) if item else None

    def find(self, issuer: str, audience: str) -> IdentityProvider | None:
        """Return the tenant's provider with this issuer and audience, or None. Makes up to two reads."""
        marker = self.table.get(provider_keys.provider_issuer(pair_digest(issuer, audience)))
        return self.get(IdentityProviderId(marker["provider_id"])) if marker else None

    def list_pairs(self) -> list[str]:
        """Return the digests of all issuers and audiences that the tenant has registered. Makes one query."""
        found = self.table.query(Query("", prefix=provider_keys.provider_issuer("").sort, limit=100)).items
        return [str(item["sk"]).partition("#")[2] for item in found]

    def require_room(self) -> None:
        """Raise `Conflict` if the tenant has the maximum number of providers."""
        if self.count(PROVIDERS_MAX) >= PROVIDERS_MAX:
            raise Conflict(f"a tenant may have at most {PROVIDERS_MAX} identity providers; delete one first")

    def count(self, most: int) -> int:
        """Return the number of providers, including social clients, up to `most`."""
        return len(self.table.query(Query("", prefix="IDP#", limit=most)).items)

    def _refuse_change(self, provider_id: IdentityProviderId, refused: TransactionRefused) -> None:
        if self.get(provider_id) is None:
            raise NotFound("identity provider not found") from refused
        raise Conflict("the identity provider was modified by another call; read it and try again") from refused


@dataclass(frozen=True, slots=True)
class Place:
    """The tenant and the id of an identity provider."""

    tenant_id: TenantId
    provider_id: IdentityProviderId


@dataclass(frozen=True, slots=True)
class IssuerRegistry:
    """Reads and writes the platform's markers of issuers and audiences.

    A marker contains the tenant and the provider that accept the issuer's tokens for the audience.
    """

    table: PlatformTable

    def claim(self, issuer: str, audience: str, place: Place) -> None:
        """Write the marker of an issuer and audience for a tenant's provider. Idempotent.

        Raises `Conflict` if the marker belongs to another tenant, unless that tenant is deleted.
        """
        item = {
            "tenant_id": place.tenant_id,
            "provider_id": place.provider_id,
            "gsi2pk": provider_keys.issuers_of(place.tenant_id),
            "gsi2sk": place.provider_id,
        }
        condition = f"{NEW} OR #tenant_id = :tenant"
        marker = provider_keys.issuer(pair_digest(issuer, audience))
        try:
            self.table.write(Put(marker, item, condition, {"tenant": place.tenant_id}))
        except ConditionFailed as failed:
            holder = TenantId(str((failed.item or {}).get("tenant_id", "")))
            if not holder or not TenantRegistry(self.table).is_deleted(holder):
                raise Conflict(_TAKEN) from failed
            self._take_over(Put(marker, item, f"{NEW} OR #tenant_id = :holder", {"holder": holder}))

    def _take_over(self, claim: Put) -> None:
        try:
            self.table.write(claim)
        except ConditionFailed as failed:
            raise Conflict(_TAKEN) from failed

    def release(self, issuer: str, audience: str, place: Place) -> None:
        """Delete the marker of an issuer and audience if the marker belongs to this provider."""
        values = {"tenant": place.tenant_id, "provider": place.provider_id}
        condition = "#tenant_id = :tenant AND #provider_id = :provider"
        try:
            self.table.write(Delete(provider_keys.issuer(pair_digest(issuer, audience)), condition, values))
        except ConditionFailed:
            return

    def release_all(self, tenant_id: TenantId, digests: Iterable[str]) -> None:
        """Delete the tenant's markers with these digests. Markers of other tenants are not deleted."""
        for digest in digests:
            try:
                self.table.write(Delete(provider_keys.issuer(digest), "#tenant_id = :tenant", {"tenant": tenant_id}))
            except ConditionFailed:
                continue

    def find(self, issuer: str, audiences: Sequence[str]) -> dict[str, Place]:
        """Return the tenant and provider for each audience that is registered with the issuer. Makes one batch read."""
        wanted = {provider_keys.issuer(pair_digest(issuer, audience)): audience for audience in audiences}
        found = self.table.batch_get(wanted)
        return {wanted[key]: _place(item) for key, item in found.items()}


def _place(item: Mapping[str, Any]) -> Place:
    return Place(TenantId(item["tenant_id"]), IdentityProviderId(item["provider_id"]))


def _item(provider: IdentityProvider) -> dict[str, Any]:
    claims = provider.claim_mapping
    return {
        "id": provider.id,
        "name": provider.name,
        "issuer": provider.issuer,
        "audience": provider.audience,
        "source": provider.source,
        "jwks_uri": provider.jwks_uri or None,
        "algorithms": list(provider.algorithms),
        "claim_mapping": {"email": claims.email, "name": claims.name, "role": claims.role},
        "role_mapping": dict(provider.role_mapping),
        "default_role": provider.default_role,
        "provision_users": provider.provision_users,
        "enabled": provider.enabled,
        "assume_email_verified": provider.assume_email_verified or None,
        "created_at": format_time(provider.created_at),
        "updated_at": format_time(provider.updated_at),
    }


def read_provider(item: Mapping[str, Any]) -> IdentityProvider:
    """Return the provider that is stored in an item."""
    return IdentityProvider(
        id=IdentityProviderId(item["id"]),
        name=item["name"],
        issuer=item["issuer"],
        audience=item["audience"],
        jwks_uri=item.get("jwks_uri", ""),
        algorithms=tuple(item["algorithms"]),
        claim_mapping=ClaimMapping(**item["claim_mapping"]),
        role_mapping=item["role_mapping"],
        default_role=item["default_role"],
        provision_users=item["provision_users"],
        enabled=item["enabled"],
        assume_email_verified=item.get("assume_email_verified", False),
        created_at=parse_time(item["created_at"]),
        updated_at=parse_time(item["updated_at"]),
    )
