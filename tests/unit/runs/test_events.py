"""The event log: no event is lost or repeated, for any failure of the table."""

import random
import string

import pytest
from atrium.kernel.errors import Unavailable
from atrium.runs.model import Run, RunEvent
from atrium.runs.store import BATCH_EVENTS_MAX, EventLog, read_stored

from tests.builders.records import build_events, build_run
from tests.builders.tenant_env import TenantEnv
from tests.builders.wires import Outage, Send


@pytest.fixture
def run() -> Run:
    return build_run()


@pytest.fixture
def log(tenant_env: TenantEnv, run: Run) -> EventLog:
    return EventLog(tenant_env.runs(), tenant_env.clock, run.id, tenant_env.clock())


def stored(tenant_env: TenantEnv, run: Run, *, after: int = 1) -> list[RunEvent]:
    return list(read_stored(tenant_env.runs(), run, after=after))


def append(log: EventLog, tenant_env: TenantEnv, events: list[RunEvent], *, seconds: float = 0.5) -> None:
    for event in events:
        tenant_env.clock.advance(seconds)
        log.append(event)


def test_stores_events_every_two_seconds_and_returns_the_rest(log: EventLog, tenant_env: TenantEnv, run: Run) -> None:
    events = build_events(2, 11)
    append(log, tenant_env, events)
    assert stored(tenant_env, run) == events[:8]
    assert len(tenant_env.items(f"RUN#{run.id}")) == 2
    assert log.take_tail() == tuple(events[8:])
    assert log.take_tail() == ()


def test_a_short_answer_stores_no_batch(log: EventLog, tenant_env: TenantEnv, run: Run) -> None:
    append(log, tenant_env, build_events(2, 50), seconds=0.01)
    assert stored(tenant_env, run) == []
    assert len(log.take_tail()) == 49


def test_stores_a_large_batch_early(log: EventLog, tenant_env: TenantEnv, run: Run) -> None:
    append(log, tenant_env, build_events(2, BATCH_EVENTS_MAX + 1), seconds=0)
    assert len(stored(tenant_env, run)) == BATCH_EVENTS_MAX
    assert log.take_tail() == ()


def test_reads_after_any_sequence_number(log: EventLog, tenant_env: TenantEnv, run: Run) -> None:
    events = build_events(2, 13)
    append(log, tenant_env, events, seconds=1)
    for after in range(1, 15):
        assert stored(tenant_env, run, after=after) == [event for event in events if event.sequence > after]


def test_many_batches_are_read_in_order(log: EventLog, tenant_env: TenantEnv, run: Run) -> None:
    """The query returns the batches in several pages, and the sequence numbers have one to three digits."""
    events = build_events(2, 121)
    append(log, tenant_env, events, seconds=2)
    assert stored(tenant_env, run) == events
    assert stored(tenant_env, run, after=100) == events[99:]


def test_batches_expire_after_a_week(log: EventLog, tenant_env: TenantEnv, run: Run) -> None:
    append(log, tenant_env, build_events(2, 2), seconds=2)
    (item,) = tenant_env.items(f"RUN#{run.id}")
    assert int(str(item["ttl"]["N"])) == int(tenant_env.clock().timestamp()) + 7 * 86_400


def test_a_failing_table_does_not_end_the_turn(log: EventLog, tenant_env: TenantEnv, run: Run) -> None:
    events = build_events(2, 9)
    with tenant_env.intercepted(Outage(lambda _, operation: operation == "PutItem")):
        append(log, tenant_env, events[:4], seconds=1)
        assert stored(tenant_env, run) == []
    append(log, tenant_env, events[4:], seconds=1)
    assert stored(tenant_env, run) == events


def test_retries_a_failing_table_every_two_seconds(log: EventLog, tenant_env: TenantEnv) -> None:
    outage = Outage(lambda _, operation: operation == "PutItem")
    with tenant_env.intercepted(outage):
        append(log, tenant_env, build_events(2, 21), seconds=0.5)
    assert outage.failed == 5


def test_does_not_repeat_a_batch_whose_reply_was_lost(log: EventLog, tenant_env: TenantEnv, run: Run) -> None:
    events = build_events(2, 7)

    def lose_first_reply(operation: str, _arguments: object, send: Send) -> object:
        answer = send()
        if operation == "PutItem" and len(tenant_env.items(f"RUN#{run.id}")) == 1:
            raise Unavailable
        return answer

    with tenant_env.intercepted(lose_first_reply):
        append(log, tenant_env, events, seconds=1)
    assert len(tenant_env.items(f"RUN#{run.id}")) == 3
    assert stored(tenant_env, run) == events
    assert stored(tenant_env, run, after=3) == events[2:]


def test_stores_a_large_batch_in_s3(log: EventLog, tenant_env: TenantEnv, run: Run) -> None:
    long = "".join(random.Random(5).choices(string.printable, k=50_000))
    events = [RunEvent(2, "tool_result", {"result": long}), RunEvent(3, "text", {"content": "ok"})]
    append(log, tenant_env, events, seconds=1)
    assert len(tenant_env.blobs()) == 1
    assert stored(tenant_env, run) == events


def test_another_runs_events_are_not_read(log: EventLog, tenant_env: TenantEnv) -> None:
    append(log, tenant_env, build_events(2, 2), seconds=2)
    assert stored(tenant_env, build_run()) == []
