"""The admission counters equal the ledger after turns with every kind of outcome."""

from atrium.kernel.errors import ModelFailed
from atrium.quotas.model import SLOT_LEASE_SECONDS
from atrium.quotas.rebuild.service import Rebuilder
from atrium.tools.registry import ToolRegistry

from tests.builders.counters import counted, held
from tests.builders.loops import tool
from tests.builders.scripted import calls
from tests.builders.tenant_env import TENANT, TenantEnv


def end_in_every_way(tenant_env: TenantEnv) -> int:
    """Run a turn for each kind of outcome: completed, failed, cancelled and killed. Return the number of turns."""
    tenant_env.tools = ToolRegistry((tool("look", lambda: "found"),))
    tenant_env.talk("done")
    tenant_env.model.say(calls("look"))
    tenant_env.model.say("and done")
    tenant_env.talk("done with tools")
    tenant_env.model.say("Half of ", "it", ModelFailed())
    tenant_env.talk("failed")
    tenant_env.model.say(ModelFailed())
    tenant_env.talk("failed at once")
    tenant_env.model.say("One, ", lambda: turn.signal.stop("cancelled"), "two")
    turn = tenant_env.begin("cancelled")
    list(turn.events())
    tenant_env.begin("killed")
    return 6


def test_months_tokens_and_money_equal_the_ledger(tenant_env: TenantEnv) -> None:
    count = end_in_every_way(tenant_env)
    tenant_env.clock.advance(SLOT_LEASE_SECONDS + 2)
    tenant_env.sweep()
    entries = [entry for entry, _ in tenant_env.ledger().read_month(f"{tenant_env.clock():%Y-%m}")]

    assert len(entries) == count
    assert sorted({entry.status for entry in entries}) == ["cancelled", "failed", "succeeded"]
    assert counted(tenant_env, "requests_per_day") == count
    assert counted(tenant_env, "tokens_per_month") == sum(entry.total_tokens for entry in entries) > 0
    assert counted(tenant_env, "cost_per_month") == sum(entry.cost_nanos for entry in entries) > 0
    assert held(tenant_env) == []


def test_a_comparison_finds_no_difference_during_and_after_turns(tenant_env: TenantEnv) -> None:
    end_in_every_way(tenant_env)
    comparing = Rebuilder(tenant_env.table(TENANT), tenant_env.clock)
    assert comparing.compare().counters == ()
    tenant_env.clock.advance(SLOT_LEASE_SECONDS + 2)
    tenant_env.sweep()
    assert comparing.compare().counters == ()


def test_a_rebuild_leaves_correct_counters_unchanged(tenant_env: TenantEnv) -> None:
    end_in_every_way(tenant_env)
    report = Rebuilder(tenant_env.table(TENANT), tenant_env.clock).rebuild(tenant_env.clock().date(), "one")
    assert (report.counters, report.entries, report.counted) == ((), 5, 5)
