"""Eight processes with eight threads each call the product as one tenant. No limit of the tenant is exceeded."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.conftest import Stack
from tests.e2e.crowd import PROCESSES, THREADS, Crowd, Told, call_all
from tests.e2e.limited import Limited, made_tenant

pytestmark = pytest.mark.slow

WIDE: dict[str, int | str] = {
    "requests_per_minute": -1,
    "tokens_per_minute": -1,
    "sessions_per_day": -1,
    "requests_per_day": 1_000,
    "tokens_per_month": 10_000_000,
    "cost_per_month": "100",
}


@pytest.fixture
def tenant(stack: Stack) -> Iterator[Limited]:
    with made_tenant(stack) as made:
        yield made


def asked_of_model(stack: Stack, tenant: Limited) -> list[dict[str, Any]]:
    """Return the calls that the model server received for a tenant. Each message contains the tenant's id."""
    with stack.model as model:
        found = model.get("/__requests").json()["requests"]
    return [dict(each) for each in found if tenant.id in str(each["body"])]


def peak(calls: list[dict[str, Any]]) -> int:
    """Return the maximum number of concurrent calls."""
    steps = sorted([(each["started_at"], 1) for each in calls] + [(each["ended_at"], -1) for each in calls])
    running = most = 0
    for _, step in steps:
        running += step
        most = max(most, running)
    return most


@pytest.mark.parametrize("slots", [16, -1], ids=["in one item", "in seven items"])
def test_a_days_requests(stack: Stack, tenant: Limited, slots: int) -> None:
    tenant.put(**{**WIDE, "requests_per_day": 20, "concurrent_turns": slots})
    told = call_all(Crowd(stack.base_url, tenant.key, f"Hi from {tenant.id}", 0), PROCESSES * THREADS * 2)
    assert told == {Told(200): 20, Told(429, "QUOTA_EXCEEDED", "requests_per_day"): 108}
    tenant.assert_settled(20)
    assert len(asked_of_model(stack, tenant)) == 20


def test_fifty_at_once_against_five_slots(stack: Stack, tenant: Limited) -> None:
    tenant.put(**{**WIDE, "concurrent_turns": 5})
    call_all(Crowd(stack.base_url, tenant.key, "So that enough processes run.", 0), 16)
    before = len(tenant.ledger())
    told = call_all(Crowd(stack.base_url, tenant.key, f"[[delay=20]] Hi from {tenant.id}", 0), 50)
    assert told == {Told(200): 5, Told(429, "CONCURRENCY_LIMITED", "concurrent_turns"): 45}
    assert (len(tenant.ledger()), tenant.slots()) == (before + 5, [])
    calls = asked_of_model(stack, tenant)
    assert (len(calls), peak(calls)) == (5, 5)
    assert tenant.say().status_code == 200
