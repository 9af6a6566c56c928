"""Stores a tenant's policies. One transaction writes a change, the new `config_version` and the audit event."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from atrium.kernel.clock import format_time, parse_time
from atrium.kernel.errors import Conflict, NotFound
from atrium.kernel.ids import PolicyId
from atrium.kernel.pagination import Page, PageRequest, read_all
from atrium.policy.conditions import Conditions
from atrium.policy.model import Policy
from atrium.storage import keys
from atrium.storage.table import Query, TenantTable, TransactionRefused
from atrium.storage.writes import EXISTS, NEW, Delete, Operation, Put
from atrium.tenants.store import RAISE_VERSION


@dataclass(frozen=True, slots=True)
class PolicyStore:
    """Reads and writes the policies of one tenant."""

    table: TenantTable

    def create(self, policy: Policy, record: Put) -> None:
        self._transact(Put(keys.policy(policy.id), _item(policy), NEW), record, Conflict())

    def replace(self, policy: Policy, record: Put, *, before: Policy) -> None:
        """Write a changed policy; raise `Conflict` if it was changed or deleted after `before` was read."""
        values = {"before": format_time(before.updated_at)}
        put = Put(keys.policy(policy.id), _item(policy), "#updated_at = :before", values)
        self._transact(
            put, record, Conflict("the policy was modified or deleted by another call; read it and try again")
        )

    def delete(self, policy_id: PolicyId, record: Put) -> None:
        """Delete a policy; raise `NotFound` if it does not exist."""
        self._transact(Delete(keys.policy(policy_id), EXISTS), record, NotFound("policy not found"))

    def get(self, policy_id: PolicyId) -> Policy | None:
        item = self.table.get(keys.policy(policy_id))
        return read_policy(item) if item else None

    def list(self, page: PageRequest) -> Page[Policy]:
        """List the tenant's policies, oldest first."""
        query = Query("", prefix="POLICY#", limit=page.limit, position=page.position)
        return self.table.query(query).map(read_policy)

    def read_all(self) -> Sequence[Policy]:
        """Return all policies of the tenant.

        The reads are strongly consistent, so the policies are at least as new as any `config_version` that was read
        earlier.
        """
        return [*read_all(self.list)]

    def _transact(self, operation: Operation, record: Put, refusal: Exception) -> None:
        try:
            self.table.transact([operation, RAISE_VERSION, record])
        except TransactionRefused as error:
            raise (refusal if 0 in error.failed else NotFound("tenant not found")) from error


def _item(policy: Policy) -> dict[str, Any]:
    return {
        "id": policy.id,
        "name": policy.name,
        "description": policy.description or None,
        "effect": policy.effect,
        "principals": list(policy.principals),
        "actions": list(policy.actions),
        "resources": list(policy.resources),
        "conditions": policy.conditions.model_dump_json(exclude_unset=True),
        "priority": policy.priority,
        "created_at": format_time(policy.created_at),
        "updated_at": format_time(policy.updated_at),
    }


def read_policy(item: Mapping[str, Any]) -> Policy:
    """Return the policy that is stored in an item."""
    return Policy(
        id=PolicyId(item["id"]),
        name=item["name"],
        description=item.get("description", ""),
        effect=item["effect"],
        principals=tuple(item["principals"]),
        actions=tuple(item["actions"]),
        resources=tuple(item["resources"]),
        conditions=Conditions.model_validate_json(item["conditions"]),
        priority=item["priority"],
        created_at=parse_time(item["created_at"]),
        updated_at=parse_time(item["updated_at"]),
    )
