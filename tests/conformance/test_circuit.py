"""Concurrent calls of the circuit breaker on DynamoDB Local, by threads and by processes.

Every outage is counted, and at most three trials start at the same time.
"""

import os
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context

from atrium.kernel.clock import read_clock
from atrium.kernel.errors import AtriumError, CircuitOpen
from atrium.llm.anthropic.provider import AnthropicProvider, direct_channel
from atrium.llm.circuit import OPEN_SECONDS, OUTAGES_MAX, TRIALS_MAX
from atrium.llm.model import ModelMessage, ModelRequest, Text
from atrium.llm.resilience import CircuitBreaker, ResilientProvider
from atrium.storage.table import PhysicalTable, PlatformTable

from infra.local.model_server import running
from infra.runtime.resources import Endpoint
from tests.builders.runtimes import TurnedClock

CONTAINERS = 16
MODEL = "claude-haiku-5-5"


def admits(breaker: CircuitBreaker) -> bool:
    try:
        breaker.admit(MODEL)
    except CircuitOpen:
        return False
    return True


def test_racing_containers_count_every_outage_and_start_three_trials(dynamodb_table: PhysicalTable) -> None:
    clock = TurnedClock()
    breakers = [CircuitBreaker(PlatformTable(dynamodb_table), clock) for _ in range(CONTAINERS)]
    with ThreadPoolExecutor(CONTAINERS) as pool:
        list(pool.map(lambda breaker: breaker.record_outage(MODEL), breakers[: OUTAGES_MAX - 1]))
        assert admits(CircuitBreaker(PlatformTable(dynamodb_table), clock))
        breakers[0].record_outage(MODEL)
        assert not any(pool.map(admits, breakers[:1]))
        for _ in range(3):
            clock.advance(OPEN_SECONDS)
            assert sum(pool.map(admits, breakers)) == TRIALS_MAX
            assert sum(pool.map(admits, breakers)) == 0
        list(pool.map(lambda breaker: breaker.record_success(MODEL), breakers[:TRIALS_MAX]))
        assert all(pool.map(admits, breakers))


def call_failing(table_url: str, table_name: str, model_url: str) -> tuple[int, str]:
    """Make one call that the provider answers with 500. Return the id of this process and the code of the error."""
    table = PlatformTable(PhysicalTable(Endpoint(table_url).client("dynamodb"), table_name))
    adapter = AnthropicProvider(direct_channel(model_url, lambda: "a-key-of-tests"))
    provider = ResilientProvider(lambda _model: adapter, CircuitBreaker(table, read_clock))
    message = ModelMessage("user", (Text("[[status=500]] [[retry_after=0.01]]"),))
    try:
        list(provider.open(ModelRequest(MODEL, "", (message,), 100), deadline_seconds=20))
    except AtriumError as error:
        return os.getpid(), error.code
    return os.getpid(), ""


def test_outages_of_one_process_open_the_circuit_for_another(dynamodb_table: PhysicalTable) -> None:
    at = (str(dynamodb_table.client.meta.endpoint_url), dynamodb_table.name)
    with running() as server:
        ended = []
        for calls in (OUTAGES_MAX, 1):
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
                ended += [pool.submit(call_failing, *at, server.url).result() for _ in range(calls)]
        attempts = len(server.requests())
    assert [code for _, code in ended] == ["MODEL_FAILED"] * OUTAGES_MAX + ["CIRCUIT_OPEN"]
    assert len({process for process, _ in ended}) == 2
    assert attempts == 4 * OUTAGES_MAX
