"""Administration of a tenant's routing rules, and the routing of turns. Every change is audited."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import Any

from cachetools import LRUCache

from atrium.audit.service import AuditService
from atrium.kernel.clock import Clock
from atrium.kernel.errors import NotFound, invalid_field, list_valid
from atrium.kernel.ids import RoutingRuleId, TenantId, is_id, mint_routing_rule_id
from atrium.kernel.pagination import Page, PageRequest
from atrium.llm.catalogue import MODELS, ModelInfo
from atrium.routing.choosing import ModelRouter, Route
from atrium.routing.matching import RoutedMessage, order_rules
from atrium.routing.model import SHIPPED_PREFIX, RoutingRule
from atrium.routing.store import RoutingRuleStore
from atrium.storage.table import TenantTable
from atrium.storage.writes import Put
from atrium.tenants.plans import PlanName

TENANTS_CACHED_MAX = 200


@dataclass(frozen=True, slots=True)
class RoutingRuleService:
    """An administrator's operations on routing rules. The routes check the scopes."""

    store: RoutingRuleStore
    clock: Clock
    audit: AuditService

    def create(self, fields: Mapping[str, Any]) -> RoutingRule:
        """Create a rule. Raise `ValidationFailed`, `Conflict` (name in use) or `CountExceeded`."""
        now = self.clock()
        rule = _checked(
            RoutingRule(**{"id": mint_routing_rule_id(now), "created_at": now, "updated_at": now, **fields})
        )
        self.store.create(rule, self._record("create", rule))
        return rule

    def get(self, rule_id: str) -> RoutingRule:
        rule = self.store.get(RoutingRuleId(rule_id)) if is_id(rule_id, "rul") else None
        if rule is None:
            raise NotFound("Routing rule not found.")
        return rule

    def list(self, page: PageRequest) -> Page[RoutingRule]:
        """List the tenant's rules, oldest first, without the shipped rules."""
        return self.store.list(page)

    def change(self, rule_id: str, fields: Mapping[str, Any]) -> RoutingRule:
        """Change fields of a rule. Raise `NotFound`, `ValidationFailed`, or `Conflict` for a concurrent change."""
        before = self.get(rule_id)
        rule = _checked(replace(before, **fields, version=before.version + 1, updated_at=self.clock()))
        self.store.replace(rule, self._record("change", rule), before=before)
        return rule

    def delete(self, rule_id: str) -> None:
        rule = self.get(rule_id)
        self.store.delete(rule, self._record("delete", rule))

    def _record(self, action: str, rule: RoutingRule) -> Put:
        details = {"action": f"routing_rule.{action}", "resource": rule.id, **rule.definition()}
        return self.audit.recording("admin.change", details)


class RoutingRuleCache:
    """Caches the rules of turns by tenant and `config_version`, in the order in which they are tried."""

    def __init__(self) -> None:
        self._rules: LRUCache[tuple[TenantId, int], tuple[RoutingRule, ...]] = LRUCache(TENANTS_CACHED_MAX)
        self._lock = Lock()

    def read(self, table: TenantTable, version: int) -> tuple[RoutingRule, ...]:
        """Return the rules of a tenant. Costs one query if they are not cached for this version."""
        place = (table.tenant_id, version)
        with self._lock:
            found = self._rules.get(place)
        if found is None:
            found = order_rules(RoutingRuleStore(table).read_all())
            with self._lock:
                self._rules[place] = found
        return found


@dataclass(frozen=True, slots=True)
class TurnRouter:
    """Routes the turns of all tenants in a container."""

    models: ModelRouter
    clock: Clock
    rules: RoutingRuleCache = field(default_factory=RoutingRuleCache)

    def route(
        self,
        table: TenantTable,
        version: int,
        *,
        text: str,
        plan: PlanName,
        session_id: str | None,
        own_keys: frozenset[str],
        count_prompt_tokens: Callable[[], int],
        find_allowed: Callable[[str], ModelInfo | None],
    ) -> Route:
        """Return the route of a message by the rules of the tenant at a `config_version`. See `ModelRouter.choose`."""
        message = RoutedMessage(text, plan, self.clock(), count_prompt_tokens, session_id, table.tenant_id, own_keys)
        return self.models.choose(self.rules.read(table, version), message, find_allowed)


def _checked(rule: RoutingRule) -> RoutingRule:
    """Return the rule. Raise `ValidationFailed` if its name is reserved, or a model is unknown or repeated."""
    if rule.name.startswith(SHIPPED_PREFIX):
        raise invalid_field("name", f"must not begin with `{SHIPPED_PREFIX}`, as the names of the shipped rules do")
    names = [each.model for each in rule.models]
    for at, name in enumerate(names):
        if name not in MODELS:
            raise invalid_field(f"models[{at}].model", f"must be one of {list_valid(MODELS)}")
        if name in names[:at]:
            raise invalid_field(f"models[{at}].model", "must differ from the other models of the rule")
    return rule
