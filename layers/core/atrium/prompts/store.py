"""Stores a tenant's prompts: one item with the newest version, one per version, and a marker for the unique name.

Every change increases the tenant's `config_version` in the same transaction.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from atrium.kernel.clock import format_time, parse_time
from atrium.kernel.errors import Conflict, NotFound
from atrium.kernel.ids import PromptId
from atrium.kernel.pagination import Page, PageRequest
from atrium.prompts.model import PROMPTS_MAX, Prompt, PromptReference, PromptVersion, Variable
from atrium.prompts.shipped import SHIPPED, find_shipped
from atrium.storage import keys
from atrium.storage.table import Query, TenantTable, TransactionRefused
from atrium.storage.writes import EXISTS, NEW, Delete, Operation, Put
from atrium.tenants.counts import counting, discounting, maximum_reached
from atrium.tenants.store import RAISE_VERSION

_UNCHANGED = "#revision = :before"


@dataclass(frozen=True, slots=True)
class PromptStore:
    """Reads and writes one tenant's prompts."""

    table: TenantTable

    def create(self, prompt: Prompt, record: Put) -> None:
        """Create a prompt. Raise `Conflict` if its name is in use, `CountExceeded` at the maximum number of prompts."""
        operations: list[Operation] = [
            Put(keys.prompt_name(prompt.name), {"prompt_id": prompt.id}, NEW),
            Put(keys.prompt(prompt.id), _item(prompt), NEW),
            counting("prompts", PROMPTS_MAX),
            _put_version(prompt.newest),
            RAISE_VERSION,
            record,
        ]
        full = maximum_reached(
            "prompts", PROMPTS_MAX, f"A tenant may have at most {PROMPTS_MAX} prompts. Delete one first."
        )
        self._transact(operations, {0: _name_taken(), 1: Conflict(), 2: full})

    def replace(self, prompt: Prompt, record: Put, *, before: Prompt) -> None:
        """Replace the prompt `before`. Raise `Conflict` if the name is in use or the prompt was changed since."""
        put = Put(keys.prompt(prompt.id), _item(prompt), _UNCHANGED, {"before": before.revision})
        operations: list[Operation] = [put, RAISE_VERSION, record]
        if prompt.name != before.name:
            operations.insert(0, Put(keys.prompt_name(prompt.name), {"prompt_id": prompt.id}, NEW))
            operations.append(Delete(keys.prompt_name(before.name), "#prompt_id = :prompt", {"prompt": prompt.id}))
        if prompt.newest.version != before.newest.version:
            operations.append(_put_version(prompt.newest))
        is_renamed = prompt.name != before.name
        self._transact(operations, {0: _name_taken() if is_renamed else _changed()}, otherwise=_changed())

    def delete(self, prompt: Prompt, record: Put) -> None:
        """Delete a prompt, then its versions. Raise `Conflict` if it was changed since."""
        operations: list[Operation] = [
            Delete(keys.prompt(prompt.id), _UNCHANGED, {"before": prompt.revision}),
            Delete(keys.prompt_name(prompt.name), EXISTS),
            discounting("prompts"),
            RAISE_VERSION,
            record,
        ]
        self._transact(operations, {}, otherwise=_changed())
        versions = range(1, prompt.newest.version + 1)
        self.table.delete_all([keys.prompt_version(prompt.id, version) for version in versions])

    def get(self, prompt_id: PromptId) -> Prompt | None:
        """Return a prompt of the tenant or a shipped prompt."""
        if prompt_id in SHIPPED:
            return SHIPPED[prompt_id]
        item = self.table.get(keys.prompt(prompt_id))
        return _read(item) if item else None

    def find(self, name: str) -> Prompt | None:
        """Return the tenant's prompt with a name, or else the shipped prompt. Costs at most two reads."""
        marker = self.table.get(keys.prompt_name(name))
        return self.get(PromptId(marker["prompt_id"])) if marker else find_shipped(name)

    def get_version(self, prompt_id: PromptId, version: int) -> PromptVersion | None:
        if prompt_id in SHIPPED:
            newest = SHIPPED[prompt_id].newest
            return newest if newest.version == version else None
        item = self.table.get(keys.prompt_version(prompt_id, version))
        return _read_version(item) if item else None

    def resolve(self, reference: PromptReference) -> PromptVersion | None:
        """Return the version that an agent uses now, or None if it does not exist.

        Costs one batch read, or two reads if the name belongs to another prompt than when the agent was saved.
        """
        marker = keys.prompt_name(reference.name) if reference.name else None
        place = None if reference.id in SHIPPED else _place(reference.id, reference.version)
        wanted = [each for each in (marker, place) if each is not None]
        found = self.table.batch_get(wanted) if wanted else {}
        shipped = find_shipped(reference.name)
        prompt_id: PromptId | None = reference.id
        if marker is not None:
            prompt_id = found[marker]["prompt_id"] if marker in found else shipped.id if shipped else None
        if prompt_id == reference.id and place is not None and place in found:
            return _read_version(found[place])
        if prompt_id is None:
            return None
        if reference.version is not None:
            return self.get_version(prompt_id, reference.version)
        prompt = self.get(prompt_id)
        return prompt.newest if prompt else None

    def list(self, page: PageRequest) -> Page[Prompt]:
        """List the tenant's prompts, oldest first."""
        return self.table.query(Query("", prefix="PROMPT#", limit=page.limit, position=page.position)).map(_read)

    def list_versions(self, prompt_id: PromptId, page: PageRequest) -> Page[PromptVersion]:
        """List the versions of a prompt, newest first."""
        if prompt_id in SHIPPED:
            return Page([SHIPPED[prompt_id].newest], None)
        prefix = keys.prompt_versions(prompt_id)
        query = Query("", prefix=prefix, newest_first=True, limit=page.limit, position=page.position)
        return self.table.query(query).map(_read_version)

    def _transact(
        self, operations: Sequence[Operation], refusals: Mapping[int, Exception], otherwise: Exception | None = None
    ) -> None:
        try:
            self.table.transact(operations)
        except TransactionRefused as error:
            raise refusals.get(min(error.failed), otherwise or NotFound()) from error


def _place(prompt_id: PromptId, version: int | None) -> keys.Key:
    return keys.prompt(prompt_id) if version is None else keys.prompt_version(prompt_id, version)


def _name_taken() -> Conflict:
    return Conflict("Another prompt has this name.")


def _changed() -> Conflict:
    return Conflict("The prompt was changed by another request. Read it again and repeat the change.")


def _put_version(version: PromptVersion) -> Put:
    return Put(keys.prompt_version(version.prompt_id, version.version), _version_item(version), NEW)


def encode_variables(version: PromptVersion) -> str:
    return json.dumps([variable.definition() for variable in version.variables], ensure_ascii=False)


def _version_item(version: PromptVersion) -> dict[str, Any]:
    return {
        "prompt_id": version.prompt_id,
        "version": version.version,
        "template": version.template,
        "variables": encode_variables(version),
        "version_created_at": format_time(version.created_at),
    }


def _item(prompt: Prompt) -> dict[str, Any]:
    return {
        **_version_item(prompt.newest),
        "name": prompt.name,
        "description": prompt.description or None,
        "revision": prompt.revision,
        "created_at": format_time(prompt.created_at),
        "updated_at": format_time(prompt.updated_at),
    }


def _read_version(item: Mapping[str, Any]) -> PromptVersion:
    return PromptVersion(
        prompt_id=PromptId(item["prompt_id"]),
        version=item["version"],
        template=item["template"],
        variables=tuple(Variable(**each) for each in json.loads(item["variables"])),
        created_at=parse_time(item["version_created_at"]),
    )


def _read(item: Mapping[str, Any]) -> Prompt:
    newest = _read_version(item)
    return Prompt(
        id=newest.prompt_id,
        name=item["name"],
        newest=newest,
        created_at=parse_time(item["created_at"]),
        updated_at=parse_time(item["updated_at"]),
        description=item.get("description", ""),
        revision=item["revision"],
    )
