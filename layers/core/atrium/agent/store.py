"""Stores agents, each with a marker item that keeps its name unique. The default is an attribute of the tenant's item.

Every change increases the tenant's `config_version` in the same transaction.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from atrium.agent.model import INJECTIONS, AgentConfig
from atrium.context.conversation import HISTORY_MESSAGES_MAX, HISTORY_TOKENS_MAX
from atrium.kernel.clock import format_time, parse_time
from atrium.kernel.errors import Conflict, NotFound
from atrium.kernel.ids import AgentId
from atrium.kernel.pagination import Page, PageRequest
from atrium.prompts.model import PromptReference
from atrium.storage import keys
from atrium.storage.table import Query, TenantTable, TransactionRefused
from atrium.storage.writes import EXISTS, NEW, Delete, Operation, Put, Update
from atrium.tenants.counts import count_exceeded, counting, discounting
from atrium.tenants.plans import UNLIMITED

_NAME_TAKEN = "Another agent has this name."


class _Full(Exception):
    """The tenant has the maximum number of agents."""


@dataclass(frozen=True, slots=True)
class AgentStore:
    """Reads and writes one tenant's agents."""

    table: TenantTable

    def create(self, agent: AgentConfig, *records: Put, make_default: bool, maximum: int = UNLIMITED) -> None:
        """Create an agent. Raise `Conflict` if its name is in use, `CountExceeded` at the maximum number of agents."""
        operations: list[Operation] = [
            Put(keys.agent_name(agent.name), {"agent_id": agent.id}, NEW),
            Put(keys.agent(agent.id), _item(agent), NEW),
            _raise_version(agent.id if make_default else None),
            counting("agents", maximum),
            *records,
        ]
        try:
            self._transact(operations, {0: Conflict(_NAME_TAKEN), 1: Conflict(), 2: NotFound(), 3: _Full()})
        except _Full:
            raise count_exceeded(self.table, "agents", maximum) from None

    def replace(self, agent: AgentConfig, *records: Put, before: AgentConfig, make_default: bool) -> None:
        """Replace the agent `before`. Raise `NotFound`, or `Conflict` if the name is in use or the agent changed."""
        unchanged = "#updated_at = :before"
        operations: list[Operation] = [
            Put(keys.agent(agent.id), _item(agent), unchanged, {"before": format_time(before.updated_at)}),
            _raise_version(agent.id if make_default else None),
        ]
        if agent.name != before.name:
            operations.append(Put(keys.agent_name(agent.name), {"agent_id": agent.id}, NEW))
            operations.append(Delete(keys.agent_name(before.name), "#agent_id = :agent", {"agent": agent.id}))
        operations += records
        changed = Conflict("The agent was changed by another request. Read it again and repeat the change.")
        try:
            self._transact(operations, {0: changed, 1: NotFound(), 2: Conflict(_NAME_TAKEN), 3: changed})
        except Conflict:
            if self.get(agent.id) is None:
                raise NotFound("Agent not found.") from None
            raise

    def delete(self, agent: AgentConfig, *records: Put) -> None:
        """Delete an agent and release its name. Raise `Conflict` if it is the default agent."""
        operations: list[Operation] = [
            Delete(keys.agent(agent.id), EXISTS),
            Delete(keys.agent_name(agent.name), "#agent_id = :agent", {"agent": agent.id}),
            Update(
                keys.tenant(),
                "SET #config_version = #config_version + :one",
                "attribute_not_exists(#default_agent_id) OR #default_agent_id <> :agent",
                {"one": 1, "agent": agent.id},
            ),
            discounting("agents"),
            *records,
        ]
        refusal = Conflict("The default agent cannot be deleted. Make another agent the default first.")
        self._transact(operations, {0: NotFound(), 1: Conflict(), 2: refusal})

    def get(self, agent_id: AgentId) -> AgentConfig | None:
        item = self.table.get(keys.agent(agent_id))
        return read_agent(item) if item else None

    def find(self, name: str) -> AgentId | None:
        """Return the id of the agent with this name, or None."""
        item = self.table.get(keys.agent_name(name))
        return AgentId(item["agent_id"]) if item else None

    def get_with_tenant(self, agent_id: AgentId | None) -> tuple[Mapping[str, Any], AgentConfig | None]:
        """Read the tenant's item and an agent in one call."""
        wanted = [keys.tenant()] + ([keys.agent(agent_id)] if agent_id else [])
        found = self.table.batch_get(wanted)
        tenant = found.get(keys.tenant())
        if tenant is None:
            raise NotFound("Tenant not found.")
        item = found.get(keys.agent(agent_id)) if agent_id else None
        return tenant, read_agent(item) if item else None

    def list(self, page: PageRequest) -> Page[AgentConfig]:
        """List the tenant's agents, oldest first."""
        query = Query("", prefix="AGENT#", limit=page.limit, position=page.position)
        return self.table.query(query).map(read_agent)

    def _transact(self, operations: Sequence[Operation], refusals: Mapping[int, Exception]) -> None:
        try:
            self.table.transact(operations)
        except TransactionRefused as error:
            raise refusals[min(error.failed)] from error


def _raise_version(default: AgentId | None) -> Update:
    expression, values = "SET #config_version = #config_version + :one", {"one": 1}
    if default is None:
        return Update(keys.tenant(), expression, EXISTS, values)
    return Update(keys.tenant(), f"{expression}, #default_agent_id = :agent", EXISTS, {**values, "agent": default})


def _item(agent: AgentConfig) -> dict[str, Any]:
    return {
        "id": agent.id,
        "name": agent.name,
        "description": agent.description or None,
        "provider": agent.provider,
        "model": agent.model,
        "system_prompt": agent.system_prompt or None,
        "prompt": _prompt_item(agent.prompt) if agent.prompt else None,
        "injections": None if agent.injections == INJECTIONS else list(agent.injections),
        "tools": list(agent.tools),
        "max_tokens": agent.max_tokens,
        "temperature": agent.temperature,
        "max_iterations": agent.max_iterations,
        "require_done_tool": agent.require_done_tool,
        "compaction_profile": agent.compaction_profile,
        "max_history_messages": agent.max_history_messages,
        "max_history_tokens": agent.max_history_tokens,
        "knowledge": list(agent.knowledge),
        "limits": dict(agent.limits),
        "fallback_models": list(agent.fallback_models) or None,
        "fallback_text": agent.fallback_text or None,
        "require_approval": list(agent.require_approval) or None,
        "created_at": format_time(agent.created_at),
        "updated_at": format_time(agent.updated_at),
    }


def _prompt_item(reference: PromptReference) -> dict[str, Any]:
    return {**asdict(reference), "variables": json.dumps(dict(reference.variables))}


def _read_prompt(item: Mapping[str, Any]) -> PromptReference:
    return PromptReference(**{**item, "variables": json.loads(item["variables"])})


def read_agent(item: Mapping[str, Any]) -> AgentConfig:
    """Parse an agent's item."""
    return AgentConfig(
        id=AgentId(item["id"]),
        name=item["name"],
        description=item.get("description", ""),
        provider=item["provider"],
        model=item["model"],
        system_prompt=item.get("system_prompt", ""),
        prompt=_read_prompt(item["prompt"]) if "prompt" in item else None,
        injections=tuple(item.get("injections", INJECTIONS)),
        tools=tuple(item["tools"]),
        max_tokens=item["max_tokens"],
        temperature=item.get("temperature"),
        max_iterations=item["max_iterations"],
        require_done_tool=item["require_done_tool"],
        compaction_profile=item.get("compaction_profile"),
        max_history_messages=item.get("max_history_messages", HISTORY_MESSAGES_MAX),
        max_history_tokens=item.get("max_history_tokens", HISTORY_TOKENS_MAX),
        knowledge=tuple(item["knowledge"]),
        limits=item["limits"],
        fallback_models=tuple(item.get("fallback_models", ())),
        fallback_text=item.get("fallback_text", ""),
        require_approval=tuple(item.get("require_approval", ())),
        created_at=parse_time(item["created_at"]),
        updated_at=parse_time(item["updated_at"]),
    )
