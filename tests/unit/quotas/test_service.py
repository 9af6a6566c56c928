"""Admission over shards, under all limits or none, and when the table does not answer."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from atrium.kernel.errors import Unavailable
from atrium.quotas.limits import resolve_limits
from atrium.quotas.model import AdmissionRequest, Admitted, Limits, NotHeld, Refused, Renewed, Settled, Subject
from atrium.quotas.service import AdmissionService
from atrium.quotas.shards import count_shards, share_limits
from atrium.quotas.terms import Terms
from atrium.storage.table import PhysicalTable
from botocore.exceptions import ConnectTimeoutError

from tests.unit.quotas.rooms import Room, make_run_id


def serve(room: Room, *, minutes_open: bool = False) -> AdmissionService:
    return AdmissionService(room.store, minutes_open)


def request(tokens: int = 0, cost_nanos: int = 0, subjects: tuple[Subject, ...] = ()) -> AdmissionRequest:
    return AdmissionRequest(make_run_id(), tokens, cost_nanos, False, subjects)


def admit_all(service: AdmissionService, terms: Terms, count: int, **what: Any) -> list[Admitted]:
    answers = [service.admit(request(**what), terms) for _ in range(count)]
    return [answer for answer in answers if isinstance(answer, Admitted)]


@pytest.fixture
def room(physical_table: PhysicalTable) -> Room:
    return Room(physical_table, {})


@pytest.fixture
def gone(physical_table: PhysicalTable) -> Iterator[Callable[[], None]]:
    """Call it, and the table does not answer any more."""

    def fail(**_: object) -> None:
        raise ConnectTimeoutError(endpoint_url="gone")

    events = physical_table.client.meta.events
    yield lambda: events.register("before-call.dynamodb", fail)
    events.unregister("before-call.dynamodb", fail)


def test_shares_sum_to_the_limit_exactly() -> None:
    limits: Limits = {"requests_per_minute": 61, "cost_per_month": 7, "users": -1, "concurrent_turns": 50}
    shares = [share_limits(limits, shard, 4) for shard in range(4)]
    assert {name: sum(share[name] for share in shares) for name in limits} == {**limits, "users": -4}
    assert max(share["concurrent_turns"] for share in shares) <= 16


def test_shards_follow_slots_and_rate_and_do_not_shrink_below_the_plans() -> None:
    assert count_shards(resolve_limits("free", {})) == 1
    assert count_shards(resolve_limits("pro", {})) == 4
    assert count_shards(resolve_limits("pro", {"concurrent_turns": 5})) == 1
    assert count_shards(resolve_limits("pro", {"tokens_per_minute": 120_000})) == 2
    assert count_shards(resolve_limits("pro", {"tokens_per_minute": 5_000})) == 1
    assert count_shards({"tokens_per_minute": 5_000, "concurrent_turns": 100}) == 2
    assert count_shards({"requests_per_minute": 60_000}) == 4


def test_every_slot_of_every_shard_is_found_and_not_one_more(room: Room) -> None:
    service, terms = serve(room), Terms({"concurrent_turns": 35, "requests_per_minute": 37})
    admitted = admit_all(service, terms, 35)
    assert len(admitted) == 35
    refused = service.admit(request(), terms)
    assert isinstance(refused, Refused)
    assert (refused.limit, refused.used, refused.max) == ("concurrent_turns", 35, 35)
    assert [service.settle(each.hold, 0, 0) for each in admitted] == [Settled()] * 35
    assert len(admit_all(service, terms, 5)) == 2


def test_a_hold_that_fits_is_admitted_though_what_is_left_lies_in_pieces(room: Room) -> None:
    service, terms = serve(room), Terms({"concurrent_turns": 48, "cost_per_month": 300})
    assert len(admit_all(service, terms, 3, cost_nanos=80)) == 3
    assert isinstance(service.admit(request(cost_nanos=61), terms), Refused)
    last = service.admit(request(cost_nanos=60), terms)
    assert isinstance(last, Admitted)
    refused = service.admit(request(cost_nanos=1), terms)
    assert isinstance(refused, Refused)
    assert (refused.used, refused.max) == (300, 300)
    service.settle(last.hold, 0, 10)
    assert len(admit_all(service, terms, 51, cost_nanos=1)) == 45


def test_a_subjects_limit_holds_over_all_shards(room: Room) -> None:
    user = Subject("user", "usr_a", {"requests_per_minute": 2})
    service, terms = serve(room), Terms({"concurrent_turns": 48})
    assert len(admit_all(service, terms, 6, subjects=(user,))) == 2
    refused = service.admit(request(subjects=(user,)), terms)
    assert isinstance(refused, Refused)
    assert (refused.scope, refused.used, refused.max, refused.retry_after_seconds) == ("user", 2, 2, 61)


def test_what_nothing_limits_takes_no_write(room: Room, gone: Callable[[], None]) -> None:
    gone()
    service, terms = serve(room), Terms(resolve_limits("enterprise", {}))
    answer = service.admit(request(tokens=10), terms)
    assert isinstance(answer, Admitted)
    assert isinstance(service.heartbeat(answer.hold), Renewed)
    assert service.settle(answer.hold, 5, 5) == NotHeld()


def test_a_limit_that_is_set_later_finds_what_was_used_before(room: Room) -> None:
    slots: Limits = {"concurrent_turns": 5}
    service = serve(room)
    for answer in admit_all(service, Terms({"requests_per_minute": 10, **slots}), 3, tokens=90, cost_nanos=90):
        service.settle(answer.hold, 70, 60)
    refused = service.admit(request(cost_nanos=10), Terms({"cost_per_month": 180, **slots}))
    assert isinstance(refused, Refused)
    assert (refused.limit, refused.used, refused.max) == ("cost_per_month", 180, 180)
    assert isinstance(service.admit(request(tokens=1), Terms({"requests_per_day": 3, **slots})), Refused)
    admitted = service.admit(request(tokens=1), Terms({"tokens_per_month": 211, **slots}))
    assert isinstance(admitted, Admitted)
    assert {reading.limit for reading in admitted.readings} == {"tokens_per_month", "concurrent_turns"}


@pytest.mark.parametrize("slots", [5, 48])
def test_figures_are_told_though_nobody_has_read_the_items(room: Room, slots: int) -> None:
    service, terms = serve(room), Terms({"requests_per_minute": 90, "concurrent_turns": slots})
    answers = admit_all(service, terms, 3)
    assert [reading.used for answer in answers for reading in answer.readings] == [1, 1, 2, 2, 3, 3]


def test_the_platforms_bound_is_no_limit_of_the_tenants(room: Room) -> None:
    terms = Terms({"cost_per_month": 1000, "concurrent_turns": -1}, ceiling=3)
    answer = serve(room).admit(request(cost_nanos=1), terms)
    assert isinstance(answer, Admitted)
    assert [reading.limit for reading in answer.readings] == ["cost_per_month"]


def test_a_tenant_without_a_limit_on_slots_has_the_platforms(room: Room) -> None:
    service, terms = serve(room), Terms({"cost_per_month": 1000, "concurrent_turns": -1}, ceiling=3)
    assert len(admit_all(service, terms, 5, cost_nanos=1)) == 3


def test_a_hold_is_found_by_its_run(room: Room) -> None:
    service, terms = serve(room), Terms({"concurrent_turns": 48, "tokens_per_month": 1000})
    for answer in admit_all(service, terms, 9, tokens=10):
        assert service.find(answer.hold.run_id, terms) == answer.hold
    assert service.find(make_run_id(), terms) is None


def test_money_is_closed_when_the_table_is_gone(room: Room, gone: Callable[[], None]) -> None:
    gone()
    service = serve(room, minutes_open=True)
    with pytest.raises(Unavailable) as failure:
        service.admit(request(), Terms({"requests_per_minute": 5, "cost_per_month": 5}))
    assert failure.value.retry_after_seconds == 2


@pytest.mark.parametrize("minutes_open", [True, False])
def test_minutes_are_open_or_closed_by_setting(room: Room, gone: Callable[[], None], minutes_open: bool) -> None:
    gone()
    service, terms = serve(room, minutes_open=minutes_open), Terms({"requests_per_minute": 5})
    if minutes_open:
        answer = service.admit(request(), terms)
        assert isinstance(answer, Admitted)
        assert answer.degraded
    else:
        with pytest.raises(Unavailable):
            service.admit(request(), terms)
