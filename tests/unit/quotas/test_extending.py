"""The hold of a run's next model call: what the last one held comes back in the same write, and no cap is passed."""

from typing import Any

import pytest
from atrium.quotas.estimate import Estimate
from atrium.quotas.model import AdmissionRequest, Admitted, Extended, Hold, LeaseLost, Limits, Refused, Settled, Used
from atrium.quotas.service import AdmissionService
from atrium.quotas.terms import Terms
from atrium.storage.table import PhysicalTable

from tests.builders.wires import intercepted, lose_replies
from tests.unit.quotas.rooms import Room, check_item, make_run_id

LIMITS: Limits = {
    "tokens_per_minute": 1_000,
    "tokens_per_month": 10_000,
    "cost_per_month": 100_000,
    "concurrent_turns": 2,
    "requests_per_day": 9,
}


@pytest.fixture
def room(physical_table: PhysicalTable) -> Room:
    return Room(physical_table, LIMITS)


def admit(room: Room, terms: Terms, tokens: int = 600, cost: int = 6_000) -> Hold:
    answer = serve(room).admit(AdmissionRequest(make_run_id(room.now), tokens, cost), terms)
    assert isinstance(answer, Admitted)
    return answer.hold


def serve(room: Room) -> AdmissionService:
    return AdmissionService(room.store)


def extend(room: Room, hold: Hold, used: Used, tokens: int = 600, cost: int = 6_000, **more: Any) -> Any:
    request = AdmissionRequest(hold.run_id, tokens, cost, **more)
    return serve(room).extend(hold, used, request, Terms(room.limits))


def counters(room: Room) -> tuple[int, ...]:
    item = room.item()
    months = [amount for name, amount in sorted(item.items()) if name.startswith(("cm", "tm"))]
    return item["tn"], *months


def test_each_call_is_held_by_itself_and_the_run_is_settled_in_all(room: Room) -> None:
    hold = admit(room, Terms(LIMITS))
    assert counters(room) == (600, 6_000, 600)
    room.turn(2)
    second = extend(room, hold, Used(100, 1_000), tokens=700)
    assert isinstance(second, Extended)
    assert counters(room) == (800, 7_000, 800)
    assert (second.hold.call, second.hold.tokens_in_all, second.hold.cost_in_all_nanos) == (2, 800, 7_000)
    assert serve(room).locate(hold) == second.hold
    assert serve(room).settle(second.hold, 150, 1_500) == Settled()
    assert counters(room) == (150, 1_500, 150)
    assert (room.item()["slots"], room.item()["rd20261121"]) == ({}, 1)


def test_a_call_that_passes_a_cap_is_refused_and_moves_nothing(room: Room) -> None:
    hold = admit(room, Terms(LIMITS))
    before = room.item()
    refused = extend(room, hold, Used(300, 3_000), tokens=701)
    assert isinstance(refused, Refused)
    assert (refused.limit, refused.used, refused.max) == ("tokens_per_minute", 300, 1_000)
    assert room.item() == before
    assert isinstance(extend(room, hold, Used(300, 3_000), tokens=700), Extended)
    assert counters(room)[0] == 1_000


def test_a_call_is_shortened_to_what_is_left(room: Room) -> None:
    hold = admit(room, Terms(LIMITS))
    wanted = Estimate(100, 1_000, 4_000, 1)
    extended = extend(room, hold, Used(500, 5_000), wanted.tokens, wanted.cost_nanos, estimate=wanted)
    assert isinstance(extended, Extended)
    assert (extended.hold.tokens, extended.hold.cost_nanos) == (500, 1_400)
    refused = extend(room, extended.hold, Used(985, 6_000), wanted.tokens, wanted.cost_nanos, estimate=wanted)
    assert isinstance(refused, Refused), "not even sixteen tokens fit"


def test_a_reply_that_is_lost_counts_once(room: Room) -> None:
    hold = admit(room, Terms(LIMITS))
    with intercepted(room.physical.client, lose_replies):
        extended = extend(room, hold, Used(100, 1_000))
    assert isinstance(extended, Extended)
    assert extend(room, hold, Used(100, 1_000)).hold == extended.hold, "asking again for the same call tells the same"
    assert counters(room) == (700, 7_000, 700)


@pytest.mark.parametrize("seconds", [0, 1, 59, 60, 61, 62, 200])
def test_a_long_call_is_given_back_to_the_window_it_was_counted_in(room: Room, seconds: int) -> None:
    hold = admit(room, Terms(LIMITS))
    room.turn(seconds)
    room.renew(hold)
    extended = extend(room, hold, Used(200, 2_000), tokens=500)
    assert isinstance(extended, Extended)
    check_item(room.item())
    assert counters(room)[0] == (700 if seconds <= 60 else 500)
    room.settle(extended.hold, 250, 2_500)
    assert counters(room) == (250 if seconds <= 60 else 50, 2_500, 250)


def test_a_slot_that_went_to_another_is_lost(room: Room) -> None:
    hold = admit(room, Terms(LIMITS), 100)
    room.turn(70)
    for _ in range(2):
        admit(room, Terms(LIMITS), 100)
    before = room.item()
    assert extend(room, hold, Used(10, 10)) == LeaseLost()
    assert room.item() == before


def test_release_takes_back_all_that_was_counted(room: Room) -> None:
    limits: Limits = {**LIMITS, "requests_per_minute": 9, "sessions_per_day": 9}
    service, terms = serve(room), Terms(limits)
    answer = service.admit(AdmissionRequest(make_run_id(room.now), 600, 6_000, True), terms)
    assert isinstance(answer, Admitted)
    for _ in range(2):
        service.release(answer.hold)
    item = room.item()
    figures = [item["rn"], item["tn"], item["rd20261121"], item["sd20261121"], item["tm202611"], item["cm202611"]]
    assert (figures, item["slots"]) == ([0] * 6, {})


def test_over_shards_the_last_of_a_month_is_found_in_pieces(room: Room) -> None:
    room.limits = {"concurrent_turns": 48, "cost_per_month": 300}
    hold = admit(room, Terms(room.limits), 0, 80)
    extended = extend(room, hold, Used(0, 80), 0, 220)
    assert isinstance(extended, Extended)
    assert isinstance(extend(room, extended.hold, Used(0, 300), 0, 1), Refused)
