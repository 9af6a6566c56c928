"""Stores a tenant's routing rules, each with a marker item that keeps its name unique.

Every change increases the tenant's `config_version` in the same transaction.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from atrium.kernel.clock import format_time, parse_time
from atrium.kernel.errors import Conflict, NotFound
from atrium.kernel.ids import RoutingRuleId
from atrium.kernel.pagination import Page, PageRequest, read_all
from atrium.routing.model import RULES_MAX, RoutingConditions, RoutingRule, WeightedModel
from atrium.storage import keys
from atrium.storage.table import Query, TenantTable, TransactionRefused
from atrium.storage.writes import EXISTS, NEW, Delete, Operation, Put
from atrium.tenants.counts import counting, discounting, maximum_reached
from atrium.tenants.store import RAISE_VERSION

_UNCHANGED = "#version = :before"


@dataclass(frozen=True, slots=True)
class RoutingRuleStore:
    """Reads and writes one tenant's routing rules."""

    table: TenantTable

    def create(self, rule: RoutingRule, record: Put) -> None:
        """Create a rule. Raise `Conflict` if its name is in use, `CountExceeded` at the maximum number of rules."""
        operations: list[Operation] = [
            Put(keys.routing_rule_name(rule.name), {"rule_id": rule.id}, NEW),
            Put(keys.routing_rule(rule.id), _item(rule), NEW),
            counting("routing_rules", RULES_MAX),
            RAISE_VERSION,
            record,
        ]
        detail = f"A tenant may have at most {RULES_MAX} routing rules. Delete one first."
        full = maximum_reached("routing_rules", RULES_MAX, detail)
        self._transact(operations, {0: _name_taken(), 1: Conflict(), 2: full})

    def replace(self, rule: RoutingRule, record: Put, *, before: RoutingRule) -> None:
        """Replace the rule `before`. Raise `Conflict` if the name is in use or the rule was changed since."""
        put = Put(keys.routing_rule(rule.id), _item(rule), _UNCHANGED, {"before": before.version})
        operations: list[Operation] = [put, RAISE_VERSION, record]
        if rule.name != before.name:
            operations.append(Put(keys.routing_rule_name(rule.name), {"rule_id": rule.id}, NEW))
            operations.append(Delete(keys.routing_rule_name(before.name), "#rule_id = :rule", {"rule": rule.id}))
        self._transact(operations, {0: _changed(), 3: _name_taken(), 4: _changed()})

    def delete(self, rule: RoutingRule, record: Put) -> None:
        """Delete a rule. Raise `Conflict` if it was changed since."""
        operations: list[Operation] = [
            Delete(keys.routing_rule(rule.id), _UNCHANGED, {"before": rule.version}),
            Delete(keys.routing_rule_name(rule.name), EXISTS),
            discounting("routing_rules"),
            RAISE_VERSION,
            record,
        ]
        self._transact(operations, {0: _changed(), 1: _changed()})

    def get(self, rule_id: RoutingRuleId) -> RoutingRule | None:
        item = self.table.get(keys.routing_rule(rule_id))
        return _read(item) if item else None

    def list(self, page: PageRequest) -> Page[RoutingRule]:
        """List the tenant's rules, oldest first."""
        query = Query("", prefix="RULE#", limit=page.limit, position=page.position)
        return self.table.query(query).map(_read)

    def read_all(self) -> Sequence[RoutingRule]:
        """Return all rules of the tenant, at least as new as any `config_version` that was read earlier."""
        return [*read_all(self.list)]

    def _transact(self, operations: Sequence[Operation], refusals: Mapping[int, Exception]) -> None:
        try:
            self.table.transact(operations)
        except TransactionRefused as error:
            raise refusals.get(min(error.failed), NotFound()) from error


def _name_taken() -> Conflict:
    return Conflict("Another routing rule has this name.")


def _changed() -> Conflict:
    return Conflict("The routing rule was changed by another request. Read it again and repeat the change.")


def _item(rule: RoutingRule) -> dict[str, Any]:
    definition = rule.definition()
    return {
        "id": rule.id,
        **definition,
        "when": json.dumps(definition["when"]),
        "models": json.dumps(definition["models"]),
        "version": rule.version,
        "created_at": format_time(rule.created_at),
        "updated_at": format_time(rule.updated_at),
    }


def _read(item: Mapping[str, Any]) -> RoutingRule:
    return RoutingRule(
        id=RoutingRuleId(item["id"]),
        name=item["name"],
        priority=item["priority"],
        when=RoutingConditions.model_validate_json(item["when"]),
        models=tuple(map(WeightedModel.model_validate, json.loads(item["models"]))),
        status=item["status"],
        version=item["version"],
        created_at=parse_time(item["created_at"]),
        updated_at=parse_time(item["updated_at"]),
    )
