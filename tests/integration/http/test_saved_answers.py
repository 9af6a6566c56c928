"""The store of idempotency keys. Only the holder of a mark can end the mark, and replies of the table can be lost."""

import pytest
from atrium.http.saved_answers import CallKey, IdempotencyStore, Mark, SavedAnswer, SavedRun
from atrium.kernel.errors import IdempotencyInProgress, IdempotencyKeyReused
from atrium.kernel.ids import TenantId
from atrium.storage.table import PhysicalTable, TenantTable

from tests.builders.gateway import KEY_ID, TENANT_ID
from tests.builders.runtimes import NOON, TurnedClock
from tests.builders.wires import Intercept, Recorder, intercepted, lose_replies

ANSWER = SavedAnswer(201, {"content-type": "application/json"}, b'{"a": 1}')
NOW_MS = int(NOON.timestamp() * 1000)
ENDS_AT_MS = NOW_MS + 25_000


def call(*, fingerprint: str = "f") -> CallKey:
    return CallKey(f"key:{KEY_ID}", "POST", "/v1/things", "k1", fingerprint)


@pytest.fixture
def clock() -> TurnedClock:
    return TurnedClock()


@pytest.fixture
def store(physical_table: PhysicalTable, clock: TurnedClock) -> IdempotencyStore:
    return IdempotencyStore(TenantTable(physical_table, TenantId(TENANT_ID)), clock)


def begin(store: IdempotencyStore, *, fingerprint: str = "f", ends_at_ms: int = ENDS_AT_MS) -> Mark:
    mark = store.begin(call(fingerprint=fingerprint), ends_at_ms=ends_at_ms)
    assert isinstance(mark, Mark)
    return mark


def test_an_answer_is_recalled(store: IdempotencyStore) -> None:
    assert store.complete(begin(store), ANSWER)
    assert store.begin(call(), ends_at_ms=ENDS_AT_MS) == ANSWER


def test_a_run_is_recalled(store: IdempotencyStore) -> None:
    assert store.complete(begin(store), SavedRun("run_1"))
    assert store.begin(call(), ends_at_ms=ENDS_AT_MS) == SavedRun("run_1")


def test_an_abandoned_key_is_free_for_another_body(store: IdempotencyStore) -> None:
    assert store.abandon(begin(store))
    begin(store, fingerprint="another")


def test_a_call_in_progress_is_not_begun_again(store: IdempotencyStore, clock: TurnedClock) -> None:
    begin(store)
    clock.advance(24.999)
    with pytest.raises(IdempotencyInProgress):
        store.begin(call(), ends_at_ms=ENDS_AT_MS)
    with pytest.raises(IdempotencyKeyReused):
        store.begin(call(fingerprint="another"), ends_at_ms=ENDS_AT_MS)


def test_a_replaced_holder_cannot_end_the_call(store: IdempotencyStore, clock: TurnedClock) -> None:
    late = begin(store)
    clock.advance(25)
    successor = begin(store)
    assert not store.complete(late, SavedRun("run_late"))
    assert not store.abandon(late)
    assert store.complete(successor, ANSWER)
    assert not store.abandon(late)
    assert store.begin(call(), ends_at_ms=ENDS_AT_MS) == ANSWER


def test_what_is_complete_cannot_be_abandoned(store: IdempotencyStore) -> None:
    mark = begin(store)
    store.complete(mark, ANSWER)
    assert not store.abandon(mark)
    assert store.begin(call(), ends_at_ms=ENDS_AT_MS) == ANSWER


def test_a_mark_ends_in_fifteen_minutes_at_most(store: IdempotencyStore, clock: TurnedClock) -> None:
    begin(store, ends_at_ms=NOW_MS + 10**12)
    clock.advance(899.999)
    with pytest.raises(IdempotencyInProgress):
        store.begin(call(), ends_at_ms=ENDS_AT_MS)
    clock.advance(0.001)
    begin(store)


def test_expires_after_one_day(physical_table: PhysicalTable, store: IdempotencyStore) -> None:
    store.complete(begin(store), ANSWER)
    (item,) = physical_table.client.scan(TableName=physical_table.name)["Items"]
    assert int(item["ttl"]["N"]) == NOW_MS // 1000 + 86_400


def lost(recorder: Recorder) -> Intercept:
    """Lose the first reply of each write, and record all attempts."""
    return lambda operation, arguments, send: lose_replies(
        operation, arguments, lambda: recorder(operation, arguments, send)
    )


def test_a_lost_reply_to_begin_is_not_a_call_in_progress(
    physical_table: PhysicalTable, store: IdempotencyStore
) -> None:
    recorder = Recorder()
    with intercepted(physical_table.client, lost(recorder)):
        begin(store)
    assert recorder.operations == ["PutItem"] * 2


def test_a_lost_reply_to_a_completion_leaves_it_complete(
    physical_table: PhysicalTable, store: IdempotencyStore
) -> None:
    """The repeated write finds the mark already ended and returns False."""
    mark, recorder = begin(store), Recorder()
    with intercepted(physical_table.client, lost(recorder)):
        store.complete(mark, ANSWER)
    assert recorder.operations == ["UpdateItem"] * 2
    assert store.begin(call(), ends_at_ms=ENDS_AT_MS) == ANSWER


def test_a_lost_reply_to_an_abandonment_leaves_the_key_free(
    physical_table: PhysicalTable, store: IdempotencyStore
) -> None:
    mark, recorder = begin(store), Recorder()
    with intercepted(physical_table.client, lost(recorder)):
        store.abandon(mark)
    assert recorder.operations == ["DeleteItem"] * 2
    begin(store)
