"""Chooses the models of a turn: the first rule that matches and has a usable model, and then a draw by weight."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from statistics import median

from atrium.kernel.errors import CircuitOpen, ModelNotAllowed
from atrium.llm.catalogue import ModelInfo
from atrium.llm.resilience import FALLBACKS_MAX, ResilientProvider, circuit_name
from atrium.routing.matching import RoutedMessage, explain_match
from atrium.routing.model import RoutingRule, WeightedModel

SECONDS_WITHOUT_MEASUREMENT = 1.0
"""The latency of every model if no model of the rule was measured."""


@dataclass(frozen=True, slots=True)
class Route:
    """The chosen model, its fallbacks in the order of use, the name of the rule, and the reason in one sentence."""

    model: ModelInfo
    fallbacks: tuple[ModelInfo, ...]
    rule: str
    reason: str


@dataclass(frozen=True, slots=True)
class ModelRouter:
    """Chooses models with the latencies and circuits that this container knows. `serves`: see `Providers.serves`."""

    serves: Callable[[ModelInfo], bool]
    models: ResilientProvider

    def choose(
        self, rules: Iterable[RoutingRule], message: RoutedMessage, find_allowed: Callable[[str], ModelInfo | None]
    ) -> Route:
        """Return the route of a message. `find_allowed` returns a model if the caller may use it for the message.

        Costs one read for each model whose circuit is not cached. Raises `CircuitOpen` if the circuits of all models
        are open, and `ModelNotAllowed` if no rule has a model.
        """
        waits: list[int] = []
        skipped = 0
        for rule in rules:
            matched = explain_match(rule.when, message)
            if matched is None:
                continue
            known = {each.model: find_allowed(each.model) for each in rule.models}
            usable = {name: model for name, model in known.items() if model and self._is_served(model, message)}
            wait = {name: self._wait_seconds(model, message) for name, model in usable.items()}
            weights = weigh(rule.models, wait, self.models.latencies.averages)
            if any(weights.values()):
                order = draw(weights, Random(message.session_id))  # noqa: S311 - the draw is not a secret
                reason = f"{_upper(matched)}; {_describe(order[0], weights)}{_skipped(skipped)}."
                chosen, *fallbacks = (usable[name] for name in order[: 1 + FALLBACKS_MAX])
                return Route(chosen, tuple(fallbacks), rule.name, reason)
            waits += wait.values()
            skipped += 1
        if waits:
            raise CircuitOpen("All models of the routing rules are unavailable.", retry_after_seconds=min(waits))
        raise ModelNotAllowed(
            "No routing rule has a model for this message that the plan and the policies allow and the deployment "
            "serves. Add a rule with such a model, or send `model`."
        )

    def _wait_seconds(self, model: ModelInfo, message: RoutedMessage) -> int:
        own = message.tenant_id if model.vendor in message.own_keys else ""
        return self.models.breaker.wait_seconds(circuit_name(model.id, own))

    def _is_served(self, model: ModelInfo, message: RoutedMessage) -> bool:
        return model.vendor in message.own_keys or self.serves(model)


def weigh(
    models: Sequence[WeightedModel], wait_seconds: Mapping[str, int], latencies: Mapping[str, float]
) -> dict[str, float]:
    """Return the weights of the models in `wait_seconds`, in the order of the rule.

    A model whose circuit is open has the weight 0. A model without a measurement has the median latency.
    """
    usable = [each for each in models if each.model in wait_seconds]
    measured = [latencies[each.model] for each in usable if each.model in latencies]
    middle = median(measured) if measured else SECONDS_WITHOUT_MEASUREMENT
    found = {}
    for each in usable:
        milliseconds = max(1.0, 1000 * latencies.get(each.model, middle))
        weight = 1000 / milliseconds if each.weight is None else float(each.weight)
        found[each.model] = 0.0 if wait_seconds[each.model] else weight
    return found


def draw(weights: Mapping[str, float], random: Random) -> list[str]:
    """Return the models, first the one that was drawn by weight, then the others by descending weight."""
    (first,) = random.choices([*weights], [*weights.values()])
    return [first, *sorted((name for name in weights if name != first), key=lambda name: -weights[name])]


def _describe(model: str, weights: Mapping[str, float]) -> str:
    if len(weights) == 1:
        return "the only usable model of the rule"
    return f"drawn with {weights[model] / sum(weights.values()):.0%} of the weight of {len(weights)} usable models"


def _skipped(count: int) -> str:
    if not count:
        return ""
    return f"; {count} matching rule{'s' if count > 1 else ''} of higher priority had no usable model"


def _upper(text: str) -> str:
    return text[0].upper() + text[1:]
