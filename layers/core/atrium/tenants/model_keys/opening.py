"""Opens a tenant's model keys for its turns: reads and decrypts them, and caches their adapters in the container."""

from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock

from cachetools import TTLCache

from atrium.kernel.clock import Clock
from atrium.kernel.errors import ModelKeyRejected, Unavailable
from atrium.kernel.ids import TenantId
from atrium.llm.catalogue import ModelInfo
from atrium.llm.model import ModelProvider
from atrium.llm.registry import Providers
from atrium.llm.resilience import OwnModel, circuit_name
from atrium.storage.secret_encryption import DecryptionFailed, SecretEncryption
from atrium.storage.table import TenantTable
from atrium.tenants.context import KeyUse
from atrium.tenants.model_keys.model import ModelKey, Rejection, purpose_of
from atrium.tenants.model_keys.store import ModelKeyStore

KEYS_CACHED_MAX = 200
CACHED_SECONDS = 180


@dataclass(slots=True)
class OpenKey:
    """A stored key, and the adapter that uses it. `is_rejected`: a rejection has been recorded."""

    key: ModelKey
    adapter: ModelProvider
    is_rejected: bool


class OpenKeys:
    """The open keys of a container, by tenant, provider and `config_version`. Thread-safe."""

    def __init__(self, clock: Clock) -> None:
        self._cache: TTLCache[tuple[TenantId, str, int], OpenKey] = TTLCache(
            KEYS_CACHED_MAX, CACHED_SECONDS, timer=lambda: clock().timestamp()
        )
        self._lock = Lock()

    def get(self, place: tuple[TenantId, str, int], open_key: Callable[[], OpenKey]) -> OpenKey:
        with self._lock:
            found = self._cache.get(place)
        if found is None:
            found = open_key()
            with self._lock:
                self._cache[place] = found
        return found


@dataclass(frozen=True, slots=True)
class TenantKeys:
    """The keys of one tenant, as `use` and `version` of its item were at the start of a turn."""

    table: TenantTable
    use: KeyUse
    version: int
    encryption: Callable[[], SecretEncryption]
    providers: Providers
    opened: OpenKeys
    clock: Clock

    def find(self, model: ModelInfo) -> OwnModel | None:
        """Return a model with the tenant's key, or None if the tenant has no key for its provider.

        Costs one read and one call of KMS if the key is not cached. Raises `ModelKeyRejected` for a damaged key, and
        `Unavailable` if the key was deleted after the start of the turn.
        """
        provider = model.vendor
        if provider not in self.use.own:
            return None
        place = (self.table.tenant_id, provider, self.version)
        found = self.opened.get(place, lambda: self._open(provider))

        def note(model_id: str, status: int) -> None:
            if not found.is_rejected:
                found.is_rejected = True
                ModelKeyStore(self.table).note_rejection(found.key, Rejection(status, model_id, self.clock()))

        return OwnModel(found.adapter, circuit_name(model.id, self.table.tenant_id), note)

    def _open(self, provider: str) -> OpenKey:
        key = ModelKeyStore(self.table).get(provider)
        if key is None:
            raise Unavailable("The tenant's model keys have just changed. Try again.", retry_after_seconds=1)
        try:
            text = self.encryption().decrypt(purpose_of(provider), key.encrypted)
        except DecryptionFailed as error:
            raise ModelKeyRejected(
                "The tenant's API key cannot be decrypted. An administrator must set it again.",
                internal=f"the model key for {provider}: {error}",
            ) from error
        return OpenKey(key, self.providers.with_key(provider, lambda: text), is_rejected=key.rejection is not None)
