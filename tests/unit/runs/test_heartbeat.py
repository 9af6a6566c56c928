"""The lease heartbeat renews leases, detects cancellations and enforces the time limit.

It stops the turn if the table is unavailable for longer than the lease.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from atrium.llm.model import Usage
from atrium.runs.heartbeat import LeaseHeartbeat, StopSignal
from atrium.runs.model import RUN_LEASE_SECONDS, Run, Spend

from tests.builders.records import build_outcome, build_run
from tests.builders.tenant_env import TenantEnv
from tests.builders.wires import Outage, Recorder, Send

SPEND = Spend(Usage(5, 6), {}, 7)
FOR_EVER = 10**6


@pytest.fixture
def run(tenant_env: TenantEnv) -> Run:
    made = build_run(at=tenant_env.clock.now)
    tenant_env.runs().open(made)
    return made


def heartbeat_of(tenant_env: TenantEnv, run: Run, **changes: Any) -> LeaseHeartbeat:
    """Return a heartbeat with an interval of 10 ms."""
    fields: dict[str, Any] = {
        "run_id": run.id,
        "runs": tenant_env.runs(),
        "clock": tenant_env.clock,
        "signal": StopSignal(),
        "spend": lambda: SPEND,
        "deadline": time.monotonic() + FOR_EVER,
        "on_defect": tenant_env.defects.append,
        "poll_seconds": 0.01,
        "renew_seconds": FOR_EVER,
    }
    return LeaseHeartbeat(**{**fields, **changes})


@contextmanager
def beating(heartbeat: LeaseHeartbeat) -> Iterator[StopSignal]:
    with heartbeat:
        yield heartbeat.signal
    assert not [thread for thread in threading.enumerate() if thread.name == "heartbeat"]


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def test_renews_the_lease_with_the_current_spend(tenant_env: TenantEnv, run: Run) -> None:
    tenant_env.clock.advance(30)
    with beating(heartbeat_of(tenant_env, run, renew_seconds=0.0)) as signal:
        until(lambda: tenant_env.runs().get(run.id) != run)
    renewed = tenant_env.runs().get(run.id)
    assert renewed is not None
    assert renewed.lease_until is not None
    assert (renewed.lease_until - tenant_env.clock.now).total_seconds() == RUN_LEASE_SECONDS
    assert renewed.spend == SPEND
    assert signal.cause is None


def test_only_reads_between_renewals(tenant_env: TenantEnv, run: Run) -> None:
    recorder = Recorder()
    with tenant_env.intercepted(recorder), beating(heartbeat_of(tenant_env, run)):
        until(lambda: len(recorder.operations) >= 3)
    assert set(recorder.operations) == {"GetItem"}


@pytest.mark.parametrize("renew_seconds", [0.0, FOR_EVER], ids=["renewing", "reading"])
def test_a_cancellation_stops_the_turn(tenant_env: TenantEnv, run: Run, renew_seconds: float) -> None:
    with beating(heartbeat_of(tenant_env, run, renew_seconds=renew_seconds)) as signal:
        assert not signal.wait(0.05)
        tenant_env.runs().request_cancel(run.id)
        assert signal.wait(60)
    assert signal.cause == "cancelled"


@pytest.mark.parametrize("renew_seconds", [0.0, FOR_EVER], ids=["renewing", "reading"])
def test_loses_a_run_that_was_ended_elsewhere(tenant_env: TenantEnv, run: Run, renew_seconds: float) -> None:
    tenant_env.runs().end(run.id, build_outcome("x"), at=tenant_env.clock.now)
    with beating(heartbeat_of(tenant_env, run, renew_seconds=renew_seconds)) as signal:
        assert signal.wait(60)
    assert signal.cause == "lost"


def test_continues_after_stopping_the_turn_at_its_time_limit(tenant_env: TenantEnv, run: Run) -> None:
    """The heartbeat must renew the lease until the end of the turn is recorded."""
    recorder = Recorder()
    heartbeat = heartbeat_of(tenant_env, run, deadline=time.monotonic() + 0.05, renew_seconds=0.0)
    with tenant_env.intercepted(recorder), beating(heartbeat) as signal:
        assert signal.wait(60)
        made = len(recorder.operations)
        until(lambda: len(recorder.operations) > made + 2)
    assert signal.cause == "max_seconds"


def test_survives_a_short_outage(tenant_env: TenantEnv, run: Run) -> None:
    outage = Outage(lambda number, _: number < 3)
    with tenant_env.intercepted(outage), beating(heartbeat_of(tenant_env, run)) as signal:
        until(lambda: outage.count >= 6)
    assert signal.cause is None


@pytest.mark.parametrize("renew_seconds", [0.0, FOR_EVER], ids=["renewing", "reading"])
def test_loses_the_turn_after_an_outage_longer_than_the_lease(
    tenant_env: TenantEnv, run: Run, renew_seconds: float
) -> None:
    heartbeat = heartbeat_of(tenant_env, run, renew_seconds=renew_seconds, lease_seconds=0.05)
    with tenant_env.intercepted(Outage(lambda _number, _: True)), beating(heartbeat) as signal:
        assert signal.wait(60)
    assert signal.cause == "lost"


def test_continues_after_an_unexpected_error(tenant_env: TenantEnv, run: Run) -> None:
    defect = RuntimeError("inside")
    broken = True

    def fail(_operation: str, _arguments: object, send: Send) -> Any:
        if broken:
            raise defect
        return send()

    with tenant_env.intercepted(fail), beating(heartbeat_of(tenant_env, run)) as signal:
        until(lambda: len(tenant_env.defects) >= 2)
        assert signal.cause is None
        broken = False
        tenant_env.runs().request_cancel(run.id)
        assert signal.wait(60)
    assert tenant_env.defects[0] is defect


def test_a_turn_is_cancelled_through_the_table(tenant_env: TenantEnv) -> None:
    """Another process requests the cancellation. The heartbeat detects the request, and the model call is closed."""
    tenant_env.model.say(
        "One, ", lambda: tenant_env.runs().request_cancel(turn.run.id), lambda: turn.signal.wait(60), "two"
    )
    turn = tenant_env.begin()
    turn.heartbeat.poll_seconds = 0.01
    events = list(turn.events())
    assert (events[-1].data["stop_reason"], events[-1].data["content"]) == ("cancelled", "One, ")
    assert tenant_env.model.streams[0].closed.is_set()
    assert tenant_env.run_of(events).status == "cancelled"


def test_a_turn_at_its_time_limit_keeps_its_partial_answer(tenant_env: TenantEnv) -> None:
    def expire() -> None:
        turn.heartbeat.deadline = time.monotonic()

    tenant_env.model.say("One, ", expire, lambda: turn.signal.wait(60), "two")
    turn = tenant_env.begin()
    turn.heartbeat.poll_seconds = 0.01
    events = list(turn.events())
    assert events[-1].data["stop_reason"] == "max_seconds"
    assert tenant_env.run_of(events).status == "succeeded"
