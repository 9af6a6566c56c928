"""Administration of a tenant's model keys. A key can be written but not read."""

from collections.abc import Callable
from dataclasses import dataclass

from atrium.audit.service import AuditService
from atrium.kernel.clock import Clock
from atrium.kernel.errors import ModelFailed, ModelKeyUnchecked, NotFound, invalid_field
from atrium.llm.streaming import StreamingProvider
from atrium.storage.secret_encryption import SecretEncryption
from atrium.storage.writes import Put
from atrium.tenants.model_keys.model import ModelKey, purpose_of, shorten
from atrium.tenants.model_keys.store import ModelKeyStore

type AdapterWith = Callable[[str, Callable[[], str]], StreamingProvider]

_RETRY_SECONDS = 30


@dataclass(frozen=True, slots=True)
class ModelKeyService:
    """An administrator's operations on model keys. The routes check the scope and the provider's name.

    `adapter_with` returns the adapter of a provider with an API key.
    """

    store: ModelKeyStore
    encryption: SecretEncryption
    audit: AuditService
    clock: Clock
    adapter_with: AdapterWith

    def list(self) -> list[ModelKey]:
        return self.store.list()

    def put(self, provider: str, text: str) -> ModelKey:
        """Check a key at its provider, and set it or replace the earlier key. The check takes at most five seconds.

        Raises `ValidationFailed` if the provider rejects the key, `ModelKeyUnchecked` or `ModelTimeout` if the provider
        could not check it, or `Conflict` if another call changed the key meanwhile.
        """
        before = self.store.get(provider)
        self._check(provider, text)
        now = self.clock()
        key = ModelKey(
            provider=provider,
            prefix=shorten(text),
            encrypted=self.encryption.encrypt(purpose_of(provider), text),
            version=before.version + 1 if before else 1,
            checked_at=now,
            created_at=before.created_at if before else now,
            updated_at=now,
        )
        self.store.put(key, self._record("replace" if before else "set", provider), before=before)
        return key

    def delete(self, provider: str) -> None:
        """Delete a key. Raise `NotFound` if the tenant has no key for the provider."""
        key = self.store.get(provider)
        if key is None:
            raise NotFound("Model key not found.")
        self.store.delete(key, self._record("delete", provider))

    def _check(self, provider: str, text: str) -> None:
        try:
            self.adapter_with(provider, lambda: text).check_key()
        except ModelFailed as failure:
            if failure.provider_status in {401, 403}:
                message = f"was rejected by {provider} (status {failure.provider_status}); send a valid API key"
                raise invalid_field("key", message) from failure
            raise ModelKeyUnchecked(internal=failure.internal, retry_after_seconds=_RETRY_SECONDS) from failure

    def _record(self, action: str, provider: str) -> Put:
        """Return the audit record of a change. It contains no part of the key."""
        details = {"action": f"model_key.{action}", "resource": f"model-keys/{provider}"}
        return self.audit.recording("admin.change", details)
