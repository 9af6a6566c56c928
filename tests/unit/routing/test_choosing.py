"""The choice of a model: weights, the draw, fallbacks, and rules without a usable model."""

from collections import Counter
from collections.abc import Callable, Iterable
from random import Random

import pytest
from atrium.kernel.errors import CircuitOpen, ModelNotAllowed
from atrium.kernel.ids import RoutingRuleId
from atrium.llm.catalogue import MODELS, ModelInfo, find_model
from atrium.llm.circuit import OPEN_SECONDS, OUTAGES_MAX
from atrium.llm.resilience import CircuitBreaker, ResilientProvider
from atrium.routing.choosing import ModelRouter, Route, draw, weigh
from atrium.routing.matching import RoutedMessage, order_rules
from atrium.routing.model import RoutingConditions, RoutingRule, WeightedModel
from atrium.storage.table import PhysicalTable, PlatformTable

from tests.builders.runtimes import NOON, TurnedClock
from tests.builders.scripted import ScriptedModel

HAIKU, SONNET, OPUS, LUNA, SOL = "claude-haiku-5-5", "claude-sonnet-5-5", "claude-opus-5-5", "gpt-6-luna", "gpt-6-sol"
HARD, EASY = "Prove it.", "Hi"


class Router:
    """A router on an empty table. `served` and `allowed` are the usable models."""

    def __init__(self, physical_table: PhysicalTable) -> None:
        breaker = CircuitBreaker(PlatformTable(physical_table), TurnedClock())
        self.models = ResilientProvider(lambda _: ScriptedModel(), breaker)
        self.served = self.allowed = set(MODELS)

    def choose(self, *rules: RoutingRule, text: str = EASY, session_id: str | None = None) -> Route:
        message = RoutedMessage(text, "pro", NOON, lambda: 1, session_id)
        router = ModelRouter(lambda model: model.id in self.served, self.models)
        return router.choose(order_rules(rules), message, self._find)

    def open_circuits(self, *models: str) -> None:
        for model in models:
            for _ in range(OUTAGES_MAX):
                self.models.breaker.record_outage(model)

    def _find(self, model_id: str) -> ModelInfo | None:
        return find_model(model_id) if model_id in self.allowed else None


@pytest.fixture
def router(physical_table: PhysicalTable) -> Router:
    return Router(physical_table)


def weighted(*models: str | tuple[str, int]) -> tuple[WeightedModel, ...]:
    named = [(each, None) if isinstance(each, str) else each for each in models]
    return tuple(WeightedModel(model=model, weight=weight) for model, weight in named)


def rule(*models: str | tuple[str, int], name: str = "own", priority: int = 20) -> RoutingRule:
    return RoutingRule(RoutingRuleId("rul_1"), name, weighted(*models), NOON, NOON, priority)


def names(models: Iterable[ModelInfo]) -> list[str]:
    return [model.id for model in models]


def test_weighs_by_the_inverse_of_the_latency_in_milliseconds() -> None:
    latencies = {HAIKU: 0.5, SONNET: 2.0}
    assert weigh(weighted(HAIKU, SONNET), {HAIKU: 0, SONNET: 0}, latencies) == {HAIKU: 2.0, SONNET: 0.5}


def test_a_model_without_measurement_has_the_median_latency() -> None:
    waits = dict.fromkeys((HAIKU, SONNET, LUNA, OPUS), 0)
    latencies = {HAIKU: 0.25, SONNET: 0.5, LUNA: 4.0}
    assert weigh(weighted(*waits), waits, latencies)[OPUS] == 2.0


def test_models_without_any_measurement_have_the_same_weight() -> None:
    assert weigh(weighted(HAIKU, SONNET), {HAIKU: 0, SONNET: 0}, {OPUS: 0.1}) == {HAIKU: 1.0, SONNET: 1.0}


def test_given_weights_replace_latencies_and_an_open_circuit_replaces_both() -> None:
    models = weighted((HAIKU, 7), SONNET, (OPUS, 5))
    assert weigh(models, {HAIKU: 0, SONNET: 3, OPUS: 9}, {HAIKU: 0.1}) == {HAIKU: 7.0, SONNET: 0.0, OPUS: 0.0}


def test_draws_by_weight_and_orders_the_others_by_weight() -> None:
    weights, random = {HAIKU: 1.0, SONNET: 6.0, OPUS: 3.0, LUNA: 0.0}, Random(1)
    orders = [tuple(draw(weights, random)) for _ in range(2_000)]
    shares = Counter(order[0] for order in orders)
    assert shares[SONNET] == pytest.approx(1_200, rel=0.1)
    assert shares[OPUS] == pytest.approx(600, rel=0.15)
    assert shares[HAIKU] == pytest.approx(200, rel=0.25)
    assert set(orders) == {
        (SONNET, OPUS, HAIKU, LUNA), (OPUS, SONNET, HAIKU, LUNA), (HAIKU, SONNET, OPUS, LUNA)
    }  # fmt: skip


def test_the_other_models_are_the_fallbacks_at_most_two(router: Router) -> None:
    route = router.choose(rule((HAIKU, 1000), (SONNET, 3), (OPUS, 2), (LUNA, 1)), session_id="ses_1")
    assert len({route.model.id, *names(route.fallbacks)}) == 3
    assert names(route.fallbacks) == sorted(names(route.fallbacks), key=[HAIKU, SONNET, OPUS, LUNA].index)


def test_a_session_draws_the_same_model_in_each_turn(router: Router) -> None:
    models = rule(HAIKU, SONNET, OPUS, LUNA)
    chosen = {session: {router.choose(models, session_id=session).model.id for _ in range(5)} for session in "abcdefgh"}
    assert all(len(models) == 1 for models in chosen.values())
    assert len(set.union(*chosen.values())) > 1


def test_new_sessions_draw_independently(router: Router) -> None:
    assert len({router.choose(rule(HAIKU, SONNET)).model.id for _ in range(64)}) == 2


def test_only_models_that_are_allowed_and_served_are_used(router: Router) -> None:
    router.allowed = {HAIKU, SONNET}
    router.served = {SONNET, OPUS}
    route = router.choose(rule(HAIKU, SONNET, OPUS))
    assert (route.model.id, route.fallbacks, route.rule) == (SONNET, (), "own")
    assert route.reason == "No conditions; the only usable model of the rule."


def test_the_next_rule_applies_if_no_model_is_usable(router: Router) -> None:
    router.allowed = {HAIKU, SONNET}
    router.open_circuits(SONNET)
    route = router.choose(rule(SONNET), text=HARD)
    assert (route.model.id, route.rule) == (HAIKU, "builtin:small")
    assert route.reason.endswith("; 2 matching rules of higher priority had no usable model.")


def test_a_model_with_an_open_circuit_is_the_last_fallback(router: Router) -> None:
    router.open_circuits(HAIKU)
    route = router.choose(rule((HAIKU, 1000), (SONNET, 1), (OPUS, 1)))
    assert HAIKU not in (route.model.id, route.fallbacks[0].id)
    assert route.fallbacks[1].id == HAIKU


def test_the_reason_names_the_conditions_and_the_share(router: Router) -> None:
    when = RoutingConditions(complexity="high")
    hard = RoutingRule(RoutingRuleId("rul_1"), "hard", weighted((OPUS, 3), (SONNET, 1)), NOON, NOON, 20, when)
    reasons = {router.choose(hard, text=HARD, session_id=str(seed)).reason for seed in range(32)}
    assert reasons == {
        "Complexity high; drawn with 75% of the weight of 2 usable models.",
        "Complexity high; drawn with 25% of the weight of 2 usable models.",
    }


def test_fails_if_all_circuits_are_open(router: Router) -> None:
    router.open_circuits(*MODELS)
    with pytest.raises(CircuitOpen) as caught:
        router.choose(rule(OPUS))
    assert caught.value.retry_after_seconds == OPEN_SECONDS


@pytest.mark.parametrize(
    "restrict", [lambda router: router.served.clear(), lambda router: setattr(router, "allowed", set())]
)
def test_fails_if_no_rule_has_a_usable_model(router: Router, restrict: Callable[[Router], object]) -> None:
    router.served = set(MODELS)
    restrict(router)
    with pytest.raises(ModelNotAllowed):
        router.choose(rule(OPUS))
