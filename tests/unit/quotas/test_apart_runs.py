"""Runs of subjects that are counted apart: settled, extended, renewed and found again in every item."""

from dataclasses import replace

import pytest
from atrium.quotas.estimate import Estimate
from atrium.quotas.model import (
    Admitted,
    Extended,
    LeaseLost,
    NotHeld,
    Refused,
    Renewed,
    Settled,
    Used,
)
from atrium.quotas.terms import Terms
from atrium.storage.table import PhysicalTable

from tests.unit.quotas.apart import TENANT, admitted, ask, item, key, month, refused, serve
from tests.unit.quotas.rooms import Room


@pytest.fixture
def room(physical_table: PhysicalTable) -> Room:
    return Room(physical_table, {})


def test_a_settlement_corrects_both_and_a_second_none(room: Room) -> None:
    hold = admitted(room, key()).hold
    service = serve(room)
    assert service.settle(hold, 30, 7) == Settled()
    assert service.settle(hold, 30, 7) == NotHeld()
    for found in (item(room), room.item()):
        assert (month(found, "t"), month(found, "c"), found["slots"]) == (30, 7, {})


def test_a_release_leaves_nothing(room: Room) -> None:
    serve(room).release(admitted(room, key()).hold)
    for found in (item(room), room.item()):
        assert (found["rn"], month(found, "t"), month(found, "c"), found["slots"]) == (0, 0, 0, {})


def test_a_hold_is_lowered_to_what_fits_into_the_tightest(room: Room) -> None:
    estimate = Estimate(100, 0, 900, 1)
    request = replace(
        ask(room, key({"tokens_per_month": 400})), tokens_hold=1_000, cost_hold_nanos=0, estimate=estimate
    )
    answer = serve(room).admit(request, TENANT)
    assert isinstance(answer, Admitted)
    assert (answer.hold.tokens, answer.hold.apart[0].tokens) == (400, 400)
    assert (month(item(room), "t"), month(room.item(), "t")) == (400, 400)


def test_the_next_call_is_held_in_both(room: Room) -> None:
    subject, service = key(), serve(room)
    hold = admitted(room, subject).hold
    room.turn(3)
    answer = service.extend(hold, Used(40, 4), ask(room, subject, tokens=200, cost=20), TENANT)
    assert isinstance(answer, Extended)
    for found in (item(room), room.item()):
        assert (month(found, "t"), month(found, "c")) == (240, 24)
    again = service.extend(hold, Used(40, 4), ask(room, subject, tokens=200, cost=20), TENANT)
    assert isinstance(again, Extended), "a lost reply"
    assert month(item(room), "t") == 240
    beyond = service.extend(answer.hold, Used(100, 10), ask(room, subject, tokens=901, cost=1), TENANT)
    assert isinstance(beyond, Refused)
    assert (beyond.limit, beyond.scope) == ("tokens_per_month", "key")
    service.settle(answer.hold, 100, 10)
    for found in (item(room), room.item()):
        assert (month(found, "t"), month(found, "c"), found["slots"]) == (100, 10, {})


def test_the_next_call_holds_no_more_than_its_tightest_allows(room: Room) -> None:
    subject, service = key({"tokens_per_month": 400}), serve(room)
    hold = admitted(room, subject).hold
    estimate = Estimate(100, 0, 900, 1)
    wanted = replace(ask(room, subject, tokens=1_000, cost=0), estimate=estimate)
    answer = service.extend(hold, Used(40, 4), wanted, TENANT)
    assert isinstance(answer, Extended)
    assert (answer.hold.tokens, answer.hold.apart[0].tokens) == (360, 360)
    assert (month(item(room), "t"), month(room.item(), "t")) == (400, 400)


def test_an_extension_that_the_tenant_refuses_is_settled_to_what_was_used(room: Room) -> None:
    subject, service = key(), serve(room)
    narrow = Terms({"tokens_per_month": 300, "concurrent_turns": 8})
    hold = admitted(room, subject, terms=narrow).hold
    answer = service.extend(hold, Used(50, 5), ask(room, subject, tokens=260, cost=1), narrow)
    assert isinstance(answer, Refused)
    assert answer.scope == "tenant"
    service.settle(hold, 50, 5)
    assert (month(item(room), "t"), month(room.item(), "t"), item(room)["slots"]) == (50, 50, {})


def test_a_heartbeat_renews_both_and_is_lost_with_either(room: Room) -> None:
    service, hold = serve(room), admitted(room, key({"concurrent_turns": 1})).hold
    room.turn(30)
    assert isinstance(service.heartbeat(hold), Renewed)
    room.turn(45)
    refused(room, key({"concurrent_turns": 1}))
    room.turn(20)
    admitted(room, key({"concurrent_turns": 1}))
    assert service.heartbeat(hold) == LeaseLost()


def test_what_is_held_is_found_again(room: Room) -> None:
    service, subject = serve(room), key()
    hold = admitted(room, subject).hold
    extended = service.extend(hold, Used(40, 4), ask(room, subject, tokens=200, cost=20), TENANT)
    assert isinstance(extended, Extended)
    found = service.locate(hold)
    assert found is not None
    assert (found.tokens_in_all, found.apart[0].tokens_in_all, found.apart[0].call) == (240, 240, 2)
    service.settle(found, 0, 0)
    assert service.locate(hold) is None
