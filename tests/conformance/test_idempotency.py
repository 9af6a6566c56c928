"""Only one of many concurrent calls with the same idempotency key is executed."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from atrium.http.saved_answers import CallKey, IdempotencyStore, Mark, SavedRun
from atrium.kernel.clock import epoch_seconds, read_clock
from atrium.kernel.errors import IdempotencyInProgress
from atrium.storage.table import PhysicalTable, TenantTable

from tests.conformance.races import TENANT

THREADS = 32
CALL = CallKey("key:k", "POST", "/v1/things", "k1", "f")


def test_one_of_many_is_executed(dynamodb_table: PhysicalTable) -> None:
    store = IdempotencyStore(TenantTable(dynamodb_table, TENANT), read_clock)
    ends_at_ms = (epoch_seconds(read_clock()) + 60) * 1000
    together = Barrier(THREADS)

    def call(number: int) -> str:
        together.wait()
        try:
            outcome = store.begin(CALL, ends_at_ms=ends_at_ms)
        except IdempotencyInProgress:
            return "in progress"
        if not isinstance(outcome, Mark):
            return "replayed"
        store.complete(outcome, SavedRun(f"run_{number}"))
        return "executed"

    with ThreadPoolExecutor(THREADS) as threads:
        outcomes = list(threads.map(call, range(THREADS)))
    assert outcomes.count("executed") == 1
    assert set(outcomes) <= {"executed", "in progress", "replayed"}
