"""Stores a tenant's API keys for model providers, one item per provider.

The tenant's item contains the set of these providers. It changes in the same transaction, with `config_version`.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from atrium.kernel.clock import format_time, parse_time
from atrium.kernel.errors import ConditionFailed, Conflict, NotFound, Unavailable
from atrium.settings import MODEL_VENDORS
from atrium.storage import keys
from atrium.storage.table import TenantTable, TransactionRefused
from atrium.storage.writes import EXISTS, NEW, Delete, Operation, Put, Update
from atrium.tenants.model_keys.model import ModelKey, Rejection

_UNCHANGED = "#version = :before"


@dataclass(frozen=True, slots=True)
class ModelKeyStore:
    """Reads and writes the model keys of one tenant."""

    table: TenantTable

    def get(self, provider: str) -> ModelKey | None:
        item = self.table.get(keys.model_key(provider))
        return _read(item) if item else None

    def list(self) -> list[ModelKey]:
        """Return the keys of all providers. Costs one batch read."""
        wanted = [keys.model_key(provider) for provider in MODEL_VENDORS]
        found = self.table.batch_get(wanted)
        return [_read(found[place]) for place in wanted if place in found]

    def put(self, key: ModelKey, record: Put, *, before: ModelKey | None) -> None:
        """Set a key, or replace the key `before`. Raise `Conflict` if another call changed it since."""
        condition, values = (_UNCHANGED, {"before": before.version}) if before else (NEW, {})
        operation = Put(keys.model_key(key.provider), _item(key), condition, values)
        self._transact([operation, _naming("ADD", key.provider), record])

    def delete(self, key: ModelKey, record: Put) -> None:
        """Delete a key. Raise `Conflict` if another call changed it since."""
        operation = Delete(keys.model_key(key.provider), _UNCHANGED, {"before": key.version})
        self._transact([operation, _naming("DELETE", key.provider), record])

    def note_rejection(self, key: ModelKey, rejection: Rejection) -> None:
        """Record the first rejection of a key. Nothing happens if the key was changed, or the table does not answer."""
        values = {
            "version": key.version,
            "updated": format_time(key.updated_at),
            "status": rejection.provider_status,
            "model": rejection.model,
            "at": format_time(rejection.at),
        }
        update = Update(
            keys.model_key(key.provider),
            "SET #rejected_status = :status, #rejected_model = :model, #rejected_at = :at",
            "#version = :version AND #updated_at = :updated AND attribute_not_exists(#rejected_at)",
            values,
        )
        with suppress(ConditionFailed, Unavailable):
            self.table.write(update)

    def _transact(self, operations: Sequence[Operation]) -> None:
        try:
            self.table.transact(operations)
        except TransactionRefused as error:
            changed = Conflict("The model key was changed by another request. Read the keys and repeat the change.")
            raise (changed if 0 in error.failed else NotFound("Tenant not found.")) from error


def _naming(action: str, provider: str) -> Update:
    """Return the update that adds a provider to the tenant's set of providers with a key, or removes it."""
    return Update(
        keys.tenant(),
        f"{action} #model_keys :providers SET #config_version = #config_version + :one",
        f"{EXISTS} AND #status <> :deleted",
        {"providers": {provider}, "one": 1, "deleted": "deleted"},
    )


def _item(key: ModelKey) -> dict[str, Any]:
    return {
        "provider": key.provider,
        "prefix": key.prefix,
        "encrypted": key.encrypted,
        "version": key.version,
        "checked_at": format_time(key.checked_at),
        "created_at": format_time(key.created_at),
        "updated_at": format_time(key.updated_at),
    }


def _read(item: Mapping[str, Any]) -> ModelKey:
    rejection = None
    if "rejected_at" in item:
        rejection = Rejection(item["rejected_status"], item["rejected_model"], parse_time(item["rejected_at"]))
    return ModelKey(
        provider=item["provider"],
        prefix=item["prefix"],
        encrypted=item["encrypted"],
        version=item["version"],
        checked_at=parse_time(item["checked_at"]),
        created_at=parse_time(item["created_at"]),
        updated_at=parse_time(item["updated_at"]),
        rejection=rejection,
    )
