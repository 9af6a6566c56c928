"""Administration of routing rules: names, the number of rules, concurrent changes, versions and the cache of turns."""

from collections.abc import Callable
from typing import Any

import pytest
from atrium.kernel.errors import Conflict, CountExceeded, NotFound, ValidationFailed
from atrium.kernel.pagination import PageRequest
from atrium.routing.model import RULES_MAX, SHIPPED, RoutingRule, WeightedModel
from atrium.routing.service import RoutingRuleCache, RoutingRuleService
from atrium.routing.store import RoutingRuleStore
from atrium.storage import keys
from atrium.tenants.counts import read_counts

from tests.builders.tenant_env import ADMIN, OTHER_TENANT, TenantEnv
from tests.builders.wires import Recorder, Send

MODELS = (WeightedModel(model="claude-haiku-5-5"),)


@pytest.fixture
def rules(tenant_env: TenantEnv) -> RoutingRuleService:
    return RoutingRuleService(RoutingRuleStore(tenant_env.table()), tenant_env.clock, tenant_env.guard(ADMIN).audit)


def create(rules: RoutingRuleService, name: str = "rule") -> RoutingRule:
    return rules.create({"name": name, "models": MODELS})


def version(rules: RoutingRuleService) -> int:
    return int((rules.store.table.get(keys.tenant()) or {})["config_version"])


def test_every_change_raises_the_config_version_once(rules: RoutingRuleService) -> None:
    first = version(rules)
    made = create(rules)
    rules.change(made.id, {"priority": 3})
    rules.change(made.id, {"name": "renamed"})
    rules.delete(made.id)
    assert version(rules) == first + 4
    assert read_counts(rules.store.table.get(keys.counts())).routing_rules == 0


def test_a_name_is_unique_and_free_after_a_deletion_or_a_new_name(rules: RoutingRuleService) -> None:
    made = create(rules)
    other = create(rules, "other")
    before = version(rules)
    with pytest.raises(Conflict, match="name"):
        create(rules)
    with pytest.raises(Conflict, match="name"):
        rules.change(other.id, {"name": "rule"})
    assert version(rules) == before
    rules.change(made.id, {"name": "renamed"})
    again = create(rules)
    rules.delete(again.id)
    assert create(rules).name == "rule"


CHANGES: list[Callable[[RoutingRuleService, RoutingRule], object]] = [
    lambda rules, made: rules.change(made.id, {"priority": 1}),
    lambda rules, made: rules.change(made.id, {"name": "renamed"}),
    lambda rules, made: rules.delete(made.id),
]


@pytest.mark.parametrize("first", CHANGES)
@pytest.mark.parametrize("second", CHANGES)
def test_of_two_concurrent_changes_one_is_rejected(
    tenant_env: TenantEnv,
    rules: RoutingRuleService,
    first: Callable[[RoutingRuleService, RoutingRule], object],
    second: Callable[[RoutingRuleService, RoutingRule], object],
) -> None:
    """The second change is complete after the first one has read the rule, and before it writes."""
    made, done = create(rules), False

    def intercept(operation: str, _arguments: dict[str, Any], send: Send) -> Any:
        nonlocal done
        if operation == "TransactWriteItems" and not done:
            done = True
            second(rules, made)
        return send()

    with tenant_env.intercepted(intercept), pytest.raises(Conflict, match="changed by another"):
        first(rules, made)
    left = rules.list(PageRequest(10)).items
    stored = [item for item in tenant_env.items() if "RULE_NAME#" in str(item["sk"])]
    assert len(left) == len(stored) == read_counts(rules.store.table.get(keys.counts())).routing_rules


def test_a_tenant_has_at_most_50_rules(rules: RoutingRuleService) -> None:
    made = [create(rules, f"rule {number}") for number in range(RULES_MAX)]
    with pytest.raises(CountExceeded):
        create(rules, "one more")
    rules.delete(made[0].id)
    create(rules, "one more")


@pytest.mark.parametrize("some_id", ["rul_01k6r5m2x8f3v9q4w7t1y0z5aa", "pol_01k6r5m2x8f3v9q4w7t1y0z5aa", "x", ""])
def test_an_unknown_rule_is_not_found(rules: RoutingRuleService, some_id: str) -> None:
    with pytest.raises(NotFound):
        rules.get(some_id)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"name": "builtin:large"}, "`name`"),
        ({"models": (WeightedModel(model="gpt-4"),)}, "`models[0].model`"),
        ({"models": (*MODELS, *MODELS)}, "`models[1].model`"),
    ],
)
def test_rejects_reserved_names_and_unknown_or_repeated_models(
    rules: RoutingRuleService, fields: dict[str, object], field: str
) -> None:
    with pytest.raises(ValidationFailed) as caught:
        rules.create({"name": "rule", "models": MODELS, **fields})
    assert caught.value.detail.startswith(field)


def test_the_cache_reads_the_rules_once_per_version(tenant_env: TenantEnv, rules: RoutingRuleService) -> None:
    cache, recorder = RoutingRuleCache(), Recorder()
    with tenant_env.intercepted(recorder):
        assert cache.read(tenant_env.table(), 1) == SHIPPED
        assert cache.read(tenant_env.table(), 1) == SHIPPED
        assert cache.read(tenant_env.table(OTHER_TENANT), 1) == SHIPPED
    assert recorder.operations == ["Query", "Query"]
    made = rules.create({"name": "rule", "models": MODELS, "priority": 99})
    assert cache.read(tenant_env.table(), 2) == (made, *SHIPPED)
    assert cache.read(tenant_env.table(OTHER_TENANT), 2) == SHIPPED
