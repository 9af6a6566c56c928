"""Stores a tenant's HTTP tools by name, each with a marker that finds it by id.

Every change increases the tenant's `config_version` in the same transaction.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from atrium.kernel.clock import format_time, parse_time
from atrium.kernel.errors import Conflict, NotFound
from atrium.kernel.ids import ToolId
from atrium.kernel.pagination import Page, PageRequest
from atrium.llm.normalise import is_tool_name
from atrium.storage import keys
from atrium.storage.table import Query, TenantTable, TransactionRefused
from atrium.storage.writes import EXISTS, NEW, Delete, Operation, Put
from atrium.tenants.counts import counting, discounting, maximum_reached
from atrium.tenants.store import RAISE_VERSION
from atrium.tools.http.model import TOOLS_MAX, RequestTemplate, ToolDefinition

_UNCHANGED = "#version = :before"


@dataclass(frozen=True, slots=True)
class HttpToolStore:
    """Reads and writes one tenant's HTTP tools."""

    table: TenantTable

    def create(self, tool: ToolDefinition, record: Put) -> None:
        """Create a tool. Raise `Conflict` if its name is in use, `CountExceeded` at the maximum number of tools."""
        operations: list[Operation] = [
            Put(keys.tool(tool.name), _item(tool), NEW),
            Put(keys.tool_id(tool.id), {"name": tool.name}, NEW),
            RAISE_VERSION,
            counting("tools", TOOLS_MAX),
            record,
        ]
        full = maximum_reached("tools", TOOLS_MAX, f"a tenant may have at most {TOOLS_MAX} tools; delete one first")
        self._transact(operations, {0: _name_taken(), 1: Conflict(), 2: NotFound(), 3: full})

    def replace(self, tool: ToolDefinition, record: Put, *, before: ToolDefinition) -> None:
        """Replace the tool `before`. Raise `Conflict` if the name is in use or the tool was changed since."""
        values = {"before": before.version}
        if tool.name == before.name:
            operations: list[Operation] = [Put(keys.tool(tool.name), _item(tool), _UNCHANGED, values)]
            refusals = {0: _changed()}
        else:
            operations = [
                Put(keys.tool(tool.name), _item(tool), NEW),
                Delete(keys.tool(before.name), _UNCHANGED, values),
                Put(keys.tool_id(tool.id), {"name": tool.name}, EXISTS),
            ]
            refusals = {0: _name_taken(), 1: _changed(), 2: _changed()}
        self._transact([*operations, RAISE_VERSION, record], refusals)

    def delete(self, tool: ToolDefinition, record: Put) -> None:
        operations: list[Operation] = [
            Delete(keys.tool(tool.name), _UNCHANGED, {"before": tool.version}),
            Delete(keys.tool_id(tool.id), EXISTS),
            RAISE_VERSION,
            discounting("tools"),
            record,
        ]
        self._transact(operations, {0: _changed(), 1: _changed()})

    def get(self, tool_id: ToolId) -> ToolDefinition | None:
        """Return a tool by its id. Costs two reads."""
        marker = self.table.get(keys.tool_id(tool_id))
        return self.find([marker["name"]]).get(marker["name"]) if marker else None

    def find(self, names: Iterable[str]) -> dict[str, ToolDefinition]:
        """Return the tools with these names (at most 100), in one read. Names without a tool are omitted."""
        wanted = [keys.tool(name) for name in names if is_tool_name(name)]
        found = self.table.batch_get(wanted) if wanted else {}
        return {item["name"]: _read(item) for item in found.values()}

    def list(self, page: PageRequest) -> Page[ToolDefinition]:
        """List the tenant's tools by name."""
        query = Query("", prefix="TOOL#", limit=page.limit, position=page.position)
        return self.table.query(query).map(_read)

    def _transact(self, operations: Sequence[Operation], refusals: Mapping[int, Exception]) -> None:
        try:
            self.table.transact(operations)
        except TransactionRefused as error:
            raise refusals.get(min(error.failed), NotFound()) from error


def _name_taken() -> Conflict:
    return Conflict("Another tool has this name.")


def _changed() -> Conflict:
    return Conflict("The tool was changed by another request. Read it again and repeat the change.")


def _item(tool: ToolDefinition) -> dict[str, Any]:
    return {
        "id": tool.id,
        "name": tool.name,
        "description": tool.description,
        "input_schema": json.dumps(tool.input_schema),
        "http": json.dumps(asdict(tool.http)),
        "effect": tool.effect,
        "permission": tool.permission,
        "timeout_seconds": tool.timeout_seconds,
        "requires_approval": tool.requires_approval,
        "connection": tool.connection,
        "version": tool.version,
        "secret_names": list(tool.secret_names),
        "sealed_secrets": tool.sealed_secrets or None,
        "created_at": format_time(tool.created_at),
        "updated_at": format_time(tool.updated_at),
    }


def _read(item: Mapping[str, Any]) -> ToolDefinition:
    return ToolDefinition(
        id=ToolId(item["id"]),
        name=item["name"],
        description=item["description"],
        input_schema=json.loads(item["input_schema"]),
        http=RequestTemplate(**json.loads(item["http"])),
        effect=item["effect"],
        permission=item["permission"],
        timeout_seconds=item["timeout_seconds"],
        requires_approval=item["requires_approval"],
        connection=item.get("connection"),
        version=item["version"],
        secret_names=tuple(item["secret_names"]),
        sealed_secrets=item.get("sealed_secrets", b""),
        created_at=parse_time(item["created_at"]),
        updated_at=parse_time(item["updated_at"]),
    )
