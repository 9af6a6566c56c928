"""Every outcome of a turn records its usage in the ledger exactly once and releases its reservation and slot."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.conftest import Stack
from tests.e2e.limited import Limited, made_tenant
from tests.e2e.processes import kill_chat
from tests.e2e.stream import start_and_leave, stream_chat
from tests.e2e.waiting import wait_for


@pytest.fixture
def tenant(stack: Stack) -> Iterator[Limited]:
    with made_tenant(stack) as made:
        yield made


def ended(tenant: Limited, run_id: str) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        run: dict[str, Any] = tenant.http.get(f"/v1/runs/{run_id}").json()
        return run if run["status"] in {"succeeded", "failed", "cancelled"} else None

    return wait_for(look, 120, "the run ends")


def assert_while_it_runs(tenant: Limited) -> None:
    assert (tenant.used("concurrent_turns"), len(tenant.slots()), tenant.ledger()) == (1, 1, [])
    assert tenant.used("tokens_per_month") > 0
    assert float(tenant.used("cost_per_month")) > 0


def test_settles_a_stream_without_client(tenant: Limited) -> None:
    seen = start_and_leave(tenant.http, "[[slow=0.3]] [[pieces=12]] Go on without me.", after=3)
    assert_while_it_runs(tenant)
    run = ended(tenant, seen[0].data["run_id"])
    tenant.assert_settled(1)
    (entry,) = tenant.ledger()
    assert (run["status"], entry.status, entry.estimated) == ("succeeded", "succeeded", False)
    assert run["usage"]["output_tokens"] == entry.tokens.output_tokens > 0
    assert run["usage"]["input_tokens"] == entry.tokens.input_tokens > 0


def test_settles_a_cancelled_turn(tenant: Limited) -> None:
    seen = start_and_leave(tenant.http, "[[slow=0.5]] [[pieces=100]] Cancel me.", after=4)
    assert_while_it_runs(tenant)
    run_id = seen[0].data["run_id"]
    assert tenant.http.post(f"/v1/runs/{run_id}/cancel").status_code == 200
    assert ended(tenant, run_id)["status"] == "cancelled"
    tenant.assert_settled(1)
    (entry,) = tenant.ledger()
    assert (entry.status, entry.tokens.input_tokens > 0, entry.cost_nanos > 0) == ("cancelled", True, True)


@pytest.mark.parametrize("directive", ["[[overload_midstream]]", "[[disconnect]]"])
def test_settles_a_turn_whose_model_fails(tenant: Limited, directive: str) -> None:
    events = stream_chat(tenant.http, f"{directive} One two three four five six seven eight.")
    assert events[-1].type == "error"
    assert ended(tenant, events[0].data["run_id"])["status"] == "failed"
    tenant.assert_settled(1)
    (entry,) = tenant.ledger()
    assert (entry.status, entry.tokens.input_tokens > 0, entry.cost_nanos > 0) == ("failed", True, True)


@pytest.mark.slow
def test_settles_a_turn_whose_function_was_killed(stack: Stack, tenant: Limited) -> None:
    tenant.put(concurrent_turns=1)
    seen = start_and_leave(tenant.http, "[[slow=1]] [[pieces=100]] I will be killed.", after=6)
    run_id = seen[0].data["run_id"]
    held = {name: tenant.used(name) for name in ("tokens_per_month", "cost_per_month")}
    assert_while_it_runs(tenant)
    kill_chat(stack)
    killed_at = time.monotonic()
    refused = tenant.say("Now?")
    assert (refused.status_code, refused.json().get("limit")) == (429, "concurrent_turns"), refused.text

    def admitted() -> bool:
        time.sleep(1)
        return tenant.say("Now?").status_code == 200

    wait_for(admitted, 90, "the slot is free again")
    assert time.monotonic() - killed_at <= 90
    assert ended(tenant, run_id)["status"] == "failed"
    tenant.assert_settled(2)
    dead, alive = sorted(tenant.ledger(), key=lambda entry: entry.run_id != run_id)
    assert (dead.status, dead.estimated, alive.estimated) == ("failed", True, False)
    assert dead.total_tokens == held["tokens_per_month"], "the whole reservation, because its end was not seen"
    assert f"{dead.cost_nanos / 1e9:.6f}" == held["cost_per_month"]
    tenant.assert_settled(2)
