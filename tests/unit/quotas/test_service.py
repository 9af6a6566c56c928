"""The service on a table: the cost of each operation, retries, and outages."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from atrium.kernel.errors import Unavailable
from atrium.kernel.ids import SessionId
from atrium.quotas.item import AdmissionItem
from atrium.quotas.model import (
    TENANT,
    AdmissionRequest,
    Admitted,
    Estimate,
    Extended,
    LeaseExpired,
    Recorded,
    Rejected,
    ScopeLimits,
    Used,
)
from atrium.quotas.service import RETRY_AFTER_SECONDS, QuotaService
from atrium.storage import keys
from atrium.storage.table import Contended, PhysicalTable, TenantTable
from atrium.storage.writes import NEW, Put

from tests.builders.memory_table import TENANT as TENANT_ID
from tests.builders.quota_env import BOTH, KEY, Gone, Quotas
from tests.builders.quota_items import run_id
from tests.builders.runtimes import TurnedClock
from tests.builders.wires import Outage, Recorder, intercepted, lose_replies

SESSION = SessionId("ses_01kakz4kc0f3v9q4w7t1y0z5ah")
MINUTES = (ScopeLimits("tenant", {"requests_per_minute": 5, "concurrent_turns": -1}),)


@pytest.fixture
def real(physical_table: PhysicalTable) -> Iterator[tuple[QuotaService, Recorder]]:
    """The service on moto or DynamoDB Local, and its recorded calls."""
    recorder = Recorder()
    with intercepted(physical_table.client, recorder):
        yield QuotaService(TenantTable(physical_table, TENANT_ID), TurnedClock(), pause=lambda _: None), recorder


# --- cost


def test_an_admission_is_one_read_and_a_write_for_each_scope(real: tuple[QuotaService, Recorder]) -> None:
    service, recorder = real
    answer = service.admit(AdmissionRequest(run_id(1), 10, 10), BOTH)
    assert isinstance(answer, Admitted)
    assert recorder.operations == ["BatchGetItem", "UpdateItem", "UpdateItem"]
    recorder.operations.clear()
    items = service.read(BOTH)
    assert isinstance(service.admit(AdmissionRequest(run_id(2), 10, 10), BOTH, items), Admitted)
    assert recorder.operations == ["BatchGetItem", "UpdateItem", "UpdateItem"]
    recorder.operations.clear()
    assert service.admit(AdmissionRequest(run_id(3), 10, 10), BOTH).limit == "concurrent_turns"  # type: ignore[union-attr]  # it is a rejection
    assert recorder.operations == ["BatchGetItem"]
    recorder.operations.clear()
    assert service.renew_lease(answer.reservation)
    assert service.settle(answer.reservation, Used(5, 5))
    assert recorder.operations == ["UpdateItem"] * 4


def test_a_further_call_is_one_read_and_a_write_for_each_scope(real: tuple[QuotaService, Recorder]) -> None:
    service, recorder = real
    answer = service.admit(AdmissionRequest(run_id(1), 10, 10), BOTH)
    assert isinstance(answer, Admitted)
    recorder.operations.clear()
    extended = service.extend(answer.reservation, Used(4, 4), AdmissionRequest(run_id(1), 20, 20), BOTH)
    assert isinstance(extended, Extended)
    assert recorder.operations == ["BatchGetItem", "UpdateItem", "UpdateItem"]
    assert service.find(answer.reservation) == extended.reservation
    assert [(slot.tokens, slot.past_tokens) for slot in extended.reservation.slots.values()] == [(20, 4)] * 2


def test_counts_once_if_replies_are_lost(physical_table: PhysicalTable) -> None:
    service = QuotaService(TenantTable(physical_table, TENANT_ID), TurnedClock(), pause=lambda _: None)
    with intercepted(physical_table.client, lose_replies):
        for number in range(2):
            answer = service.admit(AdmissionRequest(run_id(number), 10, 0), BOTH)
            assert isinstance(answer, Admitted)
            extended = service.extend(answer.reservation, Used(4, 0), AdmissionRequest(run_id(number), 20, 0), BOTH)
            assert isinstance(extended, Extended)
            service.settle(extended.reservation, Used(9, 0))
        record = Put(keys.session(SESSION), {"id": SESSION}, NEW)
        assert isinstance(service.record_session(SESSION, record, BOTH, service.read(BOTH)), Recorded)
    for item in service.read(BOTH).values():
        assert item.attributes is not None
        found = {name: item.attributes[name] for name in ("rn", "tn", "rd20261121", "sd20261121", "tm202611")}
        assert found == {"rn": 2, "tn": 18, "rd20261121": 2, "sd20261121": 1, "tm202611": 18}
        assert not item.slots


def test_an_outage_at_any_call_leaves_nothing_that_cannot_be_undone(
    physical_table: PhysicalTable,
) -> None:
    service = QuotaService(TenantTable(physical_table, TENANT_ID), TurnedClock(), pause=lambda _: None)
    for at in range(3):
        outage = Outage(lambda number, _, at=at: number == at)  # type: ignore[misc]  # a default binds the variable
        with intercepted(physical_table.client, outage), pytest.raises(Unavailable) as failure:
            service.admit(AdmissionRequest(run_id(at), 10, 0), BOTH)
        assert failure.value.retry_after_seconds == RETRY_AFTER_SECONDS
    for item in service.read(BOTH).values():
        assert not item.slots
        assert item.value("rd20261121") == item.value("rn") == item.value("tm202611") == 0


# --- admission


def test_a_rejection_by_the_tenant_undoes_the_keys_item(quotas: Quotas) -> None:
    quotas.admit()
    seen = quotas.service.read(BOTH)
    quotas.admit()
    before = [{**item, "v": 0} for item in quotas.items()]
    rejected = quotas.service.admit(AdmissionRequest(run_id(9), 0, 0), BOTH, seen)
    assert isinstance(rejected, Rejected)
    assert (rejected.scope, rejected.limit) == ("tenant", "concurrent_turns")
    assert [{**item, "v": 0} for item in quotas.items()] == before


def test_retries_a_rejected_write_once_if_a_slot_is_young(quotas: Quotas) -> None:
    one = quotas.admit()
    seen = quotas.service.read(BOTH)
    other = quotas.admit()
    quotas.while_waiting = lambda: quotas.service.release(other)
    assert isinstance(quotas.service.admit(AdmissionRequest(run_id(9), 0, 0), BOTH, seen), Admitted)
    assert quotas.service.settle(one, Used(0, 0))


def test_does_not_retry_a_rejected_write_if_all_slots_are_old(quotas: Quotas) -> None:
    quotas.admit()
    seen = quotas.service.read(BOTH)
    quotas.admit()
    quotas.clock.advance(3)
    waits: list[int] = []
    quotas.while_waiting = lambda: waits.append(1)
    seen = {scope_id: AdmissionItem(item.attributes, quotas.clock().timestamp()) for scope_id, item in seen.items()}
    assert isinstance(quotas.service.admit(AdmissionRequest(run_id(9), 0, 0), BOTH, seen), Rejected)
    assert not waits
    assert not quotas.service.read(BOTH)["key_1"].find(run_id(9)[4:30])


def test_a_rejection_at_the_write_shows_the_limits_of_all_scopes(quotas: Quotas) -> None:
    """After the read, other calls use the last requests of the key in this minute.

    The write to the key's item then rejects the call before the write to the tenant's item.
    """
    quotas.admit()
    seen = quotas.service.read(BOTH)
    for _ in range(2):
        quotas.admit((KEY, ScopeLimits("tenant", {})))
    quotas.clock.advance(3)
    rejected = quotas.service.admit(AdmissionRequest(run_id(9), 0, 0), BOTH, seen)
    assert isinstance(rejected, Rejected)
    assert (rejected.scope, rejected.limit, rejected.used) == ("key", "requests_per_minute", 3)
    shown = {(usage.scope, usage.limit): usage.used for usage in rejected.usages}
    assert next(iter(shown)) == ("tenant", "requests_per_day")
    assert (shown["tenant", "requests_per_day"], shown["key", "requests_per_minute"]) == (1, 3)


def test_shortens_an_answer_if_others_took_tokens(quotas: Quotas) -> None:
    scopes = (ScopeLimits("tenant", {"tokens_per_month": 500}),)
    estimate = Estimate(100, 0, 400, 0)
    seen = quotas.service.read(scopes)
    quotas.admit(scopes, tokens=300)
    answer = quotas.service.admit(AdmissionRequest(run_id(9), 500, 0, estimate=estimate), scopes, seen)
    assert isinstance(answer, Admitted)
    assert answer.reservation.own.tokens == 200


def test_an_admission_may_be_repeated_for_the_same_run(quotas: Quotas) -> None:
    scopes = (ScopeLimits("tenant", {"concurrent_turns": 1, "requests_per_day": 1}),)
    first = quotas.admit(scopes, number=1)
    assert quotas.admit(scopes, number=1) == first
    assert (quotas.item()["rn"], len(quotas.item()["slots"])) == (1, 1)


def test_a_repeated_admission_shows_the_same_usage(real: tuple[QuotaService, Recorder]) -> None:
    """If the reply to an admission was lost, the repeated admission does not count the run's slot a second time."""
    service, _ = real
    scopes = (ScopeLimits("tenant", {"requests_per_day": 5, "concurrent_turns": 5}),)
    first = service.admit(AdmissionRequest(run_id(1), 10, 10), scopes)
    again = service.admit(AdmissionRequest(run_id(1), 10, 10), scopes)
    assert isinstance(first, Admitted)
    assert isinstance(again, Admitted)
    assert [usage.used for usage in again.usages] == [usage.used for usage in first.usages] == [1, 1]


def test_a_rejected_attempt_releases_the_slot_of_an_earlier_attempt(quotas: Quotas) -> None:
    quotas.admit([KEY, ScopeLimits("tenant", {})], number=1)
    del quotas.table.items[keys.admission(TENANT)]  # as if its write was never applied
    assert isinstance(quotas.ask((KEY, ScopeLimits("tenant", {"concurrent_turns": 0})), number=1), Rejected)
    assert (quotas.item("key_1")["slots"], quotas.item("key_1")["rn"]) == ({}, 0)


def test_headers_list_the_tenants_limits_first(quotas: Quotas) -> None:
    answer = quotas.ask()
    assert [(usage.scope, usage.limit, usage.used) for usage in answer.usages] == [
        ("tenant", "requests_per_day", 1),
        ("tenant", "concurrent_turns", 1),
        ("key", "requests_per_minute", 1),
        ("key", "concurrent_turns", 1),
    ]


def test_a_rejection_sets_back_an_item_far_ahead(quotas: Quotas) -> None:
    quotas.clock.advance(600)
    for _ in range(2):
        quotas.admit()
    quotas.clock.advance(-600)
    rejected = quotas.ask((ScopeLimits("key", {"requests_per_minute": 2}, "key_1"),))
    assert rejected.retry_after_seconds == 61
    quotas.clock.advance(61)
    assert isinstance(quotas.ask((ScopeLimits("key", {"requests_per_minute": 2}, "key_1"),)), Admitted)


# --- degraded operation


def test_admits_minute_limits_during_an_outage_if_configured(quotas: Quotas) -> None:
    quotas.table.intercept = Gone()
    with pytest.raises(Unavailable):
        quotas.ask(MINUTES)
    quotas.minutes_open = True
    answer = quotas.ask(MINUTES, tokens=50)
    assert isinstance(answer, Admitted)
    assert answer.degraded
    assert not answer.reservation.recorded
    quotas.table.intercept = None
    assert quotas.service.renew_lease(answer.reservation)
    extended = quotas.service.extend(answer.reservation, Used(30, 3), AdmissionRequest(run_id(1), 70, 7), MINUTES)
    assert isinstance(extended, Extended)
    assert (extended.reservation.own.tokens_in_all, extended.reservation.own.cost_in_all_nanos) == (100, 10)
    assert not quotas.service.settle(extended.reservation, Used(40, 4))
    assert not quotas.table.items


@pytest.mark.parametrize(
    "name", ["requests_per_day", "sessions_per_day", "tokens_per_month", "cost_per_month", "concurrent_turns"]
)
@pytest.mark.parametrize("of_key", [False, True])
def test_rejects_other_limits_during_an_outage(quotas: Quotas, name: Any, of_key: bool) -> None:
    quotas.table.intercept, quotas.minutes_open = Gone(), True
    tenant = ScopeLimits("tenant", {"concurrent_turns": -1, **({} if of_key else {name: 5})})
    with pytest.raises(Unavailable):
        quotas.ask((ScopeLimits("key", {name: 5}, "key_1"), tenant) if of_key else (tenant,))


@pytest.mark.parametrize("first", range(5))
def test_reports_and_charges_what_cannot_be_undone(quotas: Quotas, first: int) -> None:
    quotas.table.intercept = Gone(first)
    answer = "admitted"
    try:
        quotas.ask()
    except Unavailable:
        answer = "unavailable"
    assert answer == ("unavailable" if first < 3 else "admitted")
    if answer == "unavailable":
        assert quotas.failures


def test_undoes_an_admission_without_reply(quotas: Quotas) -> None:
    calls: list[str] = []

    def lose_third(name: str, send: Callable[[], Any]) -> Any:
        calls.append(name)
        answer = send()
        if len(calls) == 3:
            raise Unavailable(internal="no reply")
        return answer

    quotas.table.intercept = lose_third
    with pytest.raises(Unavailable):
        quotas.ask()
    assert [item["slots"] for item in quotas.items()] == [{}, {}]
    assert [item["rd20261121"] for item in quotas.items()] == [0, 0]


# --- leases and settlement


def test_a_lost_lease_stops_the_worker(quotas: Quotas) -> None:
    scopes = (ScopeLimits("tenant", {"concurrent_turns": 1}),)
    first = quotas.admit(scopes)
    quotas.clock.advance(30)
    assert quotas.service.renew_lease(first)
    quotas.clock.advance(61)
    assert isinstance(quotas.ask(scopes), Rejected)
    quotas.clock.advance(1)
    assert isinstance(quotas.ask(scopes), Admitted)
    assert not quotas.service.renew_lease(first)
    wanted = AdmissionRequest(first.run_id, 5, 5)
    assert quotas.service.extend(first, Used(0, 0), wanted, scopes) == LeaseExpired()
    assert quotas.service.settle(first, Used(3, 3))
    assert not quotas.service.settle(first, Used(3, 3))
    assert (quotas.item()["tm202611"], quotas.item()["late"]) == (3, {})


def test_a_renewal_keeps_a_concurrent_extension(quotas: Quotas) -> None:
    reservation = quotas.admit(tokens=5)
    extended = quotas.service.extend(reservation, Used(1, 0), AdmissionRequest(reservation.run_id, 9, 0), BOTH)
    assert isinstance(extended, Extended)
    quotas.clock.advance(30)
    assert quotas.service.renew_lease(reservation)
    found = quotas.service.find(reservation)
    assert found is not None
    assert found.own.tokens == 9
    assert found.own.lease_until > extended.reservation.own.lease_until


def test_settlement_corrects_a_partly_rejected_extension(quotas: Quotas) -> None:
    scopes = (
        ScopeLimits("key", {"tokens_per_minute": 900}, "key_1"),
        ScopeLimits("tenant", {"tokens_per_minute": 100}),
    )
    reservation = quotas.admit(scopes, tokens=50)

    def take(name: str, send: Callable[[], Any]) -> Any:
        if name == "write" and quotas.table.calls.count("write") == 3:
            quotas.table.intercept = None
            quotas.admit((scopes[1],), number=8, tokens=40)
        return send()

    quotas.table.intercept = take
    wanted = AdmissionRequest(reservation.run_id, 80, 0)
    answer = quotas.service.extend(reservation, Used(20, 0), wanted, scopes)
    assert isinstance(answer, Rejected)
    assert quotas.service.settle(reservation, Used(20, 0))
    assert (quotas.item("key_1")["tn"], quotas.item()["tn"]) == (20, 60)


def test_shortens_an_extension_if_others_took_tokens(quotas: Quotas) -> None:
    scopes = (ScopeLimits("key", {}, "key_1"), ScopeLimits("tenant", {"tokens_per_month": 500}))
    reservation = quotas.admit(scopes, tokens=100)

    def take(name: str, send: Callable[[], Any]) -> Any:
        if name == "write":
            quotas.table.intercept = None
            quotas.admit((scopes[1],), number=8, tokens=200)
        return send()

    quotas.table.intercept = take
    wanted = AdmissionRequest(reservation.run_id, 450, 0, estimate=Estimate(50, 0, 400, 0))
    answer = quotas.service.extend(reservation, Used(50, 0), wanted, scopes)
    assert isinstance(answer, Extended)
    assert (answer.reservation.own.tokens, quotas.item()["tm202611"]) == (250, 500)
    assert quotas.service.settle(answer.reservation, Used(60, 0))
    assert [item["tm202611"] for item in quotas.items()] == [60, 260]


def test_a_run_is_found_until_the_tenants_slot_is_settled(quotas: Quotas) -> None:
    reservation = quotas.admit()
    assert quotas.service.find(reservation) == reservation
    assert quotas.service.settle_slot("key_1", run_id(1)[4:30], reservation.slots["key_1"], Used(1, 1))
    found = quotas.service.find(reservation)
    assert found is not None
    assert list(found.slots) == [TENANT]
    assert quotas.service.settle(reservation, Used(1, 1))
    assert quotas.service.find(reservation) is None


def test_a_released_run_is_not_counted(quotas: Quotas) -> None:
    reservation = quotas.admit(tokens=5, new_session=True)
    assert quotas.service.release(reservation)
    for item in quotas.items():
        assert [item[name] for name in ("rn", "tn", "rd20261121", "sd20261121", "tm202611")] == [0] * 5


def test_retries_a_contended_item(quotas: Quotas) -> None:
    count = 0

    def contend(name: str, send: Callable[[], Any]) -> Any:
        nonlocal count
        if name == "write":
            count += 1
            if count % 2:
                raise Contended(internal="another transaction")
        return send()

    quotas.table.intercept = contend
    reservation = quotas.admit()
    assert quotas.service.renew_lease(reservation)
    assert quotas.service.settle(reservation, Used(1, 1))
    assert [item["rd20261121"] for item in quotas.items()] == [1, 1]
