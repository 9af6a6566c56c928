"""Administration of a tenant's identity providers. Each change and its audit event are written in one transaction."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from atrium.audit.service import AuditService
from atrium.identity.providers.issuers import check_issuer, check_keys_address
from atrium.identity.providers.model import IdentityProvider, find_tenant_ids, pair_digest
from atrium.identity.providers.store import IdentityProviderStore, IssuerRegistry, Place
from atrium.kernel.clock import Clock
from atrium.kernel.errors import Conflict, NotFound, TenantInactive, invalid_field
from atrium.kernel.ids import IdentityProviderId, is_id, mint_identity_provider_id
from atrium.tenants.context import TenantContext

_GONE = "identity provider not found"


@dataclass(frozen=True, slots=True)
class IdentityProviderService:
    """The operations of one caller on the tenant's providers. The routes check the scope `admin`."""

    context: TenantContext
    store: IdentityProviderStore
    registry: IssuerRegistry
    audit: AuditService
    local_addresses: frozenset[str]
    clock: Clock

    def create(self, wanted: Mapping[str, Any]) -> IdentityProvider:
        """Register a provider.

        Raises `ValidationFailed` for an invalid field. Raises `Conflict` if the tenant has the maximum number of
        providers, or if a provider of any tenant has this issuer and audience.
        """
        now = self.clock()
        provider = IdentityProvider(
            **{"id": mint_identity_provider_id(now), "created_at": now, "updated_at": now, **wanted}
        )
        self._check(provider)
        self.store.require_room()
        existing = self.store.find(provider.issuer, provider.audience)
        if existing is not None:
            self._claim(existing)  # this completes an interrupted registration
            raise Conflict("another identity provider of this tenant has this issuer and audience")
        self._claim(provider)
        try:
            self.store.create(provider, self._record("create", provider))
        except (Conflict, TenantInactive):
            self._restore_marker(provider)
            raise
        return provider

    def get(self, provider_id: str) -> IdentityProvider:
        if not is_id(provider_id, "idp"):
            raise NotFound(_GONE)
        found = self.store.get(IdentityProviderId(provider_id))
        if found is None:
            raise NotFound(_GONE)
        return found

    def change(self, provider_id: str, changes: Mapping[str, Any]) -> IdentityProvider:
        """Change fields of a provider. Raises the same errors as `create`, and `Conflict` for a concurrent change."""
        before = self.get(provider_id)
        if not changes:
            return before
        provider = replace(before, **changes, updated_at=self.clock())
        self._check(provider)
        self._claim(provider)
        names = [each.name for each in fields(provider) if getattr(provider, each.name) != getattr(before, each.name)]
        changed = [name for name in names if name != "updated_at"]
        try:
            self.store.replace(provider, before, self._record("change", provider, changed=changed))
        except (Conflict, NotFound, TenantInactive):
            self._restore_marker(provider)
            raise
        if _pair(provider) != _pair(before):
            self.registry.release(before.issuer, before.audience, self._place(before))
        return provider

    def delete(self, provider_id: str) -> None:
        """Delete a provider. Tokens of its issuer are rejected after at most 30 seconds."""
        provider = self.get(provider_id)
        self.registry.release(provider.issuer, provider.audience, self._place(provider))
        self.store.delete(provider, self._record("delete", provider))

    def _check(self, provider: IdentityProvider) -> None:
        check_issuer(provider.issuer, self.local_addresses)
        check_keys_address(provider.jwks_uri, self.local_addresses)
        if find_tenant_ids(provider.audience) - {self.context.tenant_id}:
            raise invalid_field("audience", "must not contain the id of another tenant")
        if provider.role_mapping and not provider.claim_mapping.role:
            raise invalid_field(
                "role_mapping", "requires `claim_mapping.role`, the name of the claim that contains the roles"
            )

    def _claim(self, provider: IdentityProvider) -> None:
        self.registry.claim(provider.issuer, provider.audience, self._place(provider))

    def _restore_marker(self, provider: IdentityProvider) -> None:
        """Set the marker of an issuer and audience to the tenant's current provider, or delete the marker."""
        existing = self.store.find(provider.issuer, provider.audience)
        if existing is None:
            self.registry.release(provider.issuer, provider.audience, self._place(provider))
        else:
            self._claim(existing)

    def _place(self, provider: IdentityProvider) -> Place:
        return Place(self.context.tenant_id, provider.id)

    def _record(self, action: str, provider: IdentityProvider, **details: object) -> Any:
        base = {"action": f"identity_provider.{action}", "resource": provider.id, "issuer": provider.issuer}
        return self.audit.recording("admin.change", {**base, "audience": provider.audience, **details})


def _pair(provider: IdentityProvider) -> str:
    return pair_digest(provider.issuer, provider.audience)
