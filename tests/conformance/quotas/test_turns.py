"""Turns on DynamoDB Local: the consumed capacity of a turn, and the number of concurrent turns."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from atrium.agent.turn import Turn
from atrium.kernel.errors import ConcurrencyLimited, LimitReached
from atrium.storage import keys
from atrium.storage.table import PhysicalTable
from atrium.storage.writes import EXISTS, Update

from tests.builders.counters import counted, held
from tests.builders.scripted import calls, reply
from tests.builders.tenant_env import TenantEnv, open_tenant_env, session_id_of
from tests.builders.wires import Send

READS = frozenset({"GetItem", "BatchGetItem", "Query"})


@pytest.fixture
def tenant_env(dynamodb_table: PhysicalTable) -> Iterator[TenantEnv]:
    with open_tenant_env(dynamodb_table, on_moto=False) as opened:
        yield opened


class Meter:
    """A hook that records the consumed capacity of each call, including its indexes."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, float]] = []

    def __call__(self, operation: str, arguments: dict[str, Any], send: Send) -> Any:
        arguments["ReturnConsumedCapacity"] = "TOTAL"
        answer = send()
        consumed = answer.get("ConsumedCapacity", {})
        each = consumed if isinstance(consumed, list) else [consumed]
        self.calls.append((operation, sum(part.get("CapacityUnits", 0.0) for part in each)))
        return answer

    @property
    def write_units(self) -> float:
        return sum(units for operation, units in self.calls if operation not in READS)


def limit(tenant_env: TenantEnv, **limits: int) -> None:
    tenant_env.table().write(Update(keys.tenant(), "SET #limits = :limits", EXISTS, {"limits": limits}))


def test_capacity_of_a_turn(tenant_env: TenantEnv) -> None:
    session_id = session_id_of(tenant_env.talk("first"))
    tenant_env.clock.advance(5)
    meter = Meter()
    with tenant_env.intercepted(meter):
        turn = tenant_env.begin("again", session_id=session_id)
        opening = list(meter.calls)
        list(turn.events())
    assert [operation for operation, _ in opening] in (
        ["BatchGetItem", "Query", "UpdateItem", "UpdateItem", "PutItem"],
        ["Query", "BatchGetItem", "UpdateItem", "UpdateItem", "PutItem"],
    )
    admission, _session, _run = (units for operation, units in opening if operation not in READS)
    assert admission <= 2
    assert len(meter.calls) <= 9
    assert meter.write_units <= 10


def test_admits_five_turns_with_five_slots(tenant_env: TenantEnv) -> None:
    limit(tenant_env, concurrent_turns=5)
    tenant_env.talk("so that the default agent is known")
    before = counted(tenant_env, "requests_per_day")

    def begin(_: int) -> Turn | LimitReached:
        try:
            return tenant_env.begin()
        except LimitReached as refusal:
            return refusal

    with ThreadPoolExecutor(16) as threads:
        answers = list(threads.map(begin, range(50)))
    turns = [answer for answer in answers if isinstance(answer, Turn)]
    refused = [answer for answer in answers if isinstance(answer, ConcurrencyLimited)]
    assert (len(turns), len(refused), len(held(tenant_env))) == (5, 45, 5)
    assert counted(tenant_env, "requests_per_day") == before + 5
    for turn in turns:
        list(turn.events())
    assert (held(tenant_env), counted(tenant_env, "requests_per_day")) == ([], before + 5)
    assert isinstance(begin(0), Turn)


def test_concurrent_runs_never_exceed_the_months_money(tenant_env: TenantEnv) -> None:
    limit(tenant_env, cost_per_month=3_000_000, tool_calls_per_minute=-1, tokens_per_minute=-1)
    tenant_env.model.replies = [reply("More.", calls("calculator", expression="1")) for _ in range(2_000)]

    def talk(_: int) -> int:
        try:
            turn = tenant_env.begin()
        except LimitReached:
            return 0
        list(turn.events())
        return tenant_env.entry_of(turn.run.id).cost_nanos

    with ThreadPoolExecutor(8) as threads:
        spent = sum(threads.map(talk, range(24)))
    assert 0 < spent <= 3_000_000
    assert counted(tenant_env, "cost_per_month") == spent
    assert held(tenant_env) == []
