"""Turns whose model is `auto` keep the model that was chosen at their start: after a wait, and after a new worker."""

from atrium.routing.model import WeightedModel
from atrium.routing.service import RoutingRuleService
from atrium.routing.store import RoutingRuleStore

from tests.builders.shop import Shop
from tests.builders.tenant_env import ADMIN, TenantEnv, begin_again, session_id_of
from tests.unit.jobs.test_resuming import resumed, stop_at

OPUS, SONNET = "claude-opus-5-5", "claude-sonnet-5-5"


def rules_of(tenant_env: TenantEnv) -> RoutingRuleService:
    return RoutingRuleService(RoutingRuleStore(tenant_env.table()), tenant_env.clock, tenant_env.guard(ADMIN).audit)


def add_rule(tenant_env: TenantEnv, model: str, *, priority: int) -> None:
    fields = {"name": model, "models": (WeightedModel(model=model),), "priority": priority}
    rules_of(tenant_env).create(fields)


def test_a_queued_turn_calls_the_model_that_its_run_records(tenant_env: TenantEnv) -> None:
    """The rules change while the turn waits for the session."""
    session_id = session_id_of(tenant_env.talk())
    add_rule(tenant_env, OPUS, priority=20)
    first = begin_again(tenant_env, session_id)

    def wait() -> None:
        tenant_env.while_waiting = lambda: None
        add_rule(tenant_env, SONNET, priority=30)
        list(first.events())

    tenant_env.while_waiting = wait
    second = begin_again(tenant_env, session_id, on_busy="queue", model="auto")
    assert (second.run.model, second.run.routing and second.run.routing.rule) == (OPUS, OPUS)
    list(second.events())
    assert tenant_env.model.requests[-1].model == OPUS
    assert tenant_env.talk(session_id=session_id, model="auto")[0].data["model"] == SONNET


def test_a_resumed_run_keeps_its_model_and_its_explanation(tenant_env: TenantEnv) -> None:
    shop, session_id = Shop(tenant_env), tenant_env.open_session()
    shop.set_agent(model="auto", provider="auto")
    add_rule(tenant_env, OPUS, priority=20)
    stop_at(shop, session_id, "charge done")
    add_rule(tenant_env, SONNET, priority=30)
    run = resumed(shop, session_id)
    assert (run.status, run.model, run.routing and run.routing.rule) == ("succeeded", OPUS, OPUS)
    assert tenant_env.model.requests[0].model == OPUS
    start = tenant_env.replay(run.id)[0]
    assert (start.data["model"], start.data["routing"]["rule"]) == (OPUS, OPUS)
