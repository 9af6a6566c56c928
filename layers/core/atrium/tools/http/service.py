"""Administration of a tenant's HTTP tools, and the tools of a turn. Secrets can be written but not read."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from threading import Lock
from typing import Any
from urllib.parse import urlsplit

from cachetools import LRUCache

from atrium.identity.social.store import SocialClientStore
from atrium.kernel.errors import Conflict, NotFound, invalid_field, list_valid
from atrium.kernel.ids import RunId, TenantId, ToolId, is_id, mint_tool_id
from atrium.kernel.pagination import Page, PageRequest
from atrium.policy.guard import PolicyGuard
from atrium.storage.secret_encryption import DecryptionFailed, SecretEncryption
from atrium.storage.table import TenantTable
from atrium.storage.writes import Put
from atrium.tools.http.calling import HttpTool, make_tool, open_secrets
from atrium.tools.http.model import SECRETS_MAX, ToolDefinition, check_definition
from atrium.tools.http.store import HttpToolStore
from atrium.tools.model import ToolContext, ToolServices
from atrium.tools.registry import GuardedTools, ToolAnswer

TOOLS_CACHED_MAX = 500


@dataclass(frozen=True, slots=True)
class HttpToolService:
    """An administrator's operations on HTTP tools. The routes check the scopes.

    `agents_naming` returns the names of the agents that have a tool.
    """

    guard: PolicyGuard
    store: HttpToolStore
    encryption: SecretEncryption
    local_addresses: frozenset[str]
    agents_naming: Callable[[str], Sequence[str]]

    def create(self, wanted: Mapping[str, Any]) -> ToolDefinition:
        """Create a tool. Raise `ValidationFailed`, `Conflict` (name in use) or `CountExceeded`."""
        now, given = self.guard.clock(), dict(wanted)
        secrets = {name: value for name, value in given.pop("secrets", {}).items() if value is not None}
        given.setdefault("permission", "read" if given["effect"] == "pure" else "write")
        tool = ToolDefinition(**{"id": mint_tool_id(now), "created_at": now, "updated_at": now, **given})
        self._require_provider(tool)
        tool = self._checked(tool, secrets)
        self.store.create(tool, self._record("create", tool))
        return tool

    def get(self, tool_id: str) -> ToolDefinition:
        tool = self.store.get(ToolId(tool_id)) if is_id(tool_id, "tol") else None
        if tool is None:
            raise NotFound("Tool not found.")
        return tool

    def list(self, page: PageRequest) -> Page[ToolDefinition]:
        return self.store.list(page)

    def change(self, tool_id: str, changes: Mapping[str, Any]) -> ToolDefinition:
        """Change fields of a tool. In `secrets`, absent names keep their values, and null deletes a secret.

        If the scheme, host or port of the URL changes, all secrets must be set again. Otherwise, an administrator could
        send a secret to a server that returns it.
        """
        before, given = self.get(tool_id), dict(changes)
        if not given:
            return before
        secrets: Mapping[str, str | None] | None = given.pop("secrets", None)
        tool = replace(before, **given, version=before.version + 1, updated_at=self.guard.clock())
        if tool.name != before.name:
            self._require_unused(before)
        if tool.connection != before.connection:
            self._require_provider(tool)
        moves = tool.http.origin != before.http.origin
        if moves and set(before.secret_names) - set(secrets or ()):
            raise invalid_field("secrets", "must contain all secrets again, because the host of `http.url` changes")
        if secrets is None:
            check_definition(tool, self.local_addresses)
        else:
            merged = {**({} if moves else self._open(before)), **secrets}
            tool = self._checked(tool, {name: value for name, value in merged.items() if value is not None})
        names = [each.name for each in fields(tool) if getattr(tool, each.name) != getattr(before, each.name)]
        changed = [name for name in names if name not in ("updated_at", "version", "secret_names", "sealed_secrets")]
        record = self._record("change", tool, changed=[*changed, *(["secrets"] if secrets else [])])
        self.store.replace(tool, record, before=before)
        return tool

    def delete(self, tool_id: str) -> None:
        """Delete a tool. Raise `Conflict` if an agent has it."""
        tool = self.get(tool_id)
        self._require_unused(tool)
        self.store.delete(tool, self._record("delete", tool))

    def test(self, tool_id: str, arguments: Mapping[str, Any], services: ToolServices) -> ToolAnswer:
        """Call a tool outside of a run. The policies apply, and the call is audited."""
        tool = make_tool(self.get(tool_id))
        key = f"test-{mint_tool_id(self.guard.clock())}"
        context = ToolContext(
            self.guard.context.tenant_id, RunId(""), self.guard.clock, idempotency_key=key, services=services
        )
        return GuardedTools(self.guard, [tool]).call(tool.name, arguments, context)

    def _checked(self, tool: ToolDefinition, secrets: Mapping[str, str]) -> ToolDefinition:
        """Return a valid tool with encrypted secrets. Costs one call of KMS if there are secrets."""
        if len(secrets) > SECRETS_MAX:
            raise invalid_field("secrets", f"must have at most {SECRETS_MAX} entries")
        tool = replace(tool, secret_names=tuple(sorted(secrets)))
        check_definition(tool, self.local_addresses)
        sealed = self.encryption.encrypt(tool.purpose, json.dumps(dict(secrets))) if secrets else b""
        return replace(tool, sealed_secrets=sealed)

    def _require_provider(self, tool: ToolDefinition) -> None:
        """Raise `ValidationFailed` if the tenant has no enabled client at the provider of the tool's connection."""
        if tool.connection is None:
            return
        client = SocialClientStore(self.store.table).find(tool.connection)
        if client is None or not client.enabled:
            raise invalid_field(
                "connection", "must be a provider that is configured and enabled in `/v1/identity-providers`"
            )

    def _open(self, tool: ToolDefinition) -> dict[str, str]:
        """Return the stored secrets, or none if they cannot be decrypted, so that they can be set again."""
        try:
            return open_secrets(tool, self.encryption)
        except DecryptionFailed:
            return {}

    def _require_unused(self, tool: ToolDefinition) -> None:
        agents = self.agents_naming(tool.name)
        if agents:
            raise Conflict(f"The tool is in `tools` of the agents {list_valid(agents)}. Remove it there first.")

    def _record(self, action: str, tool: ToolDefinition, **details: object) -> Put:
        """Return the audit record of a change. It contains neither query, headers and body nor values of secrets."""
        shown = {
            "name": tool.name,
            "method": tool.http.method,
            "url": tool.http.origin + urlsplit(tool.http.url).path,
            "effect": tool.effect,
            "permission": tool.permission,
            "requires_approval": tool.requires_approval,
            "connection": tool.connection,
            "secret_names": list(tool.secret_names),
        }
        base = {"action": f"tool.{action}", "resource": tool.id, **shown, **details}
        return self.guard.audit.recording("admin.change", base)


class HttpToolCache:
    """Caches the tools of turns by tenant, `config_version` and name. A name without a tool is also cached."""

    def __init__(self) -> None:
        self._tools: LRUCache[tuple[TenantId, int, str], HttpTool | None] = LRUCache(TOOLS_CACHED_MAX)
        self._lock = Lock()

    def read(self, table: TenantTable, names: Iterable[str], version: int) -> tuple[HttpTool, ...]:
        """Return the tools with these names. Costs one batch read if a name is not cached for this version."""
        places = {name: (table.tenant_id, version, name) for name in names}
        with self._lock:
            found = {name: self._tools[place] for name, place in places.items() if place in self._tools}
        missing = [name for name in places if name not in found]
        if missing:
            read = HttpToolStore(table).find(missing)
            made = {name: make_tool(read[name]) if name in read else None for name in missing}
            with self._lock:
                self._tools.update({places[name]: tool for name, tool in made.items()})
            found |= made
        return tuple(tool for name in places if (tool := found[name]) is not None)
