"""The effect of each planned update on an item: admission, extension, settlement, renewal, and the item's time."""

from itertools import product
from typing import Any, cast

import pytest
from atrium.quotas.item import AHEAD_SECONDS_MAX, MOVED_MAX
from atrium.quotas.limits import BUCKETS, DEFINITIONS, Counted, LimitDefinition, Span
from atrium.quotas.model import SLOT_LEASE_SECONDS, SLOTS_MAX, LeaseExpired, Rejected, Slot, Used
from atrium.quotas.planning import plan_time

from tests.builders.quota_items import KEY, NOON, SECOND, ItemBench, run_name

DAY = 86_400
MIDNIGHT = SECOND + DAY // 2
DECEMBER = SECOND + 9 * DAY + DAY // 2  # 2026-12-01


# --- windows


def test_a_second_counts_until_all_of_it_is_sixty_seconds_old() -> None:
    bench = ItemBench({"requests_per_minute": 1})
    bench.admit()
    bench.now = SECOND + 60.99
    assert isinstance(bench.ask(), Rejected)
    bench.now = SECOND + 61
    bench.admit()
    assert bench.sums() == (1, 0)


def test_a_full_window_drops_one_second_per_second() -> None:
    bench = ItemBench()
    for second in range(3 * BUCKETS):
        bench.now = NOON + second
        bench.admit(tokens=second)
        bench.check()
        assert bench.count("rn") == min(second + 1, BUCKETS)
        assert bench.count("tn") == sum(range(max(0, second - 60), second + 1))
    assert len([name for name in bench.attributes if name[0] == "r" and name[1:].isdigit()]) == BUCKETS


@pytest.mark.parametrize("gap", [61, 62, 100, 122, 3_600, 40 * DAY])
def test_a_gap_empties_the_window(gap: int) -> None:
    bench = ItemBench()
    for second in range(20):
        bench.now = NOON + second
        bench.admit(tokens=5)
    bench.now = NOON + 19 + gap
    bench.admit(tokens=7)
    assert bench.sums() == (1, 7)


def test_adds_calls_of_one_second_without_a_version() -> None:
    """With additive updates, the calls of ten workers that read the same item are all counted."""
    bench = ItemBench()
    bench.admit(tokens=1)
    seen = bench.item()
    for _ in range(10):
        bench.admit(tokens=1, seen=seen)
    assert bench.sums() == (11, 11)


def test_an_additive_update_fails_after_the_items_time_moved() -> None:
    bench = ItemBench()
    bench.admit()
    seen = bench.item()
    bench.now += 1
    bench.admit()
    assert bench.ask(seen=seen) is None
    assert bench.sums() == (2, 0)


def test_a_rewriting_update_requires_the_read_version() -> None:
    bench = ItemBench()
    name, slot = bench.admit(tokens=50)
    bench.now += 61
    seen = bench.item()
    bench.settle(name, slot, 20)
    assert bench.ask(tokens=7, seen=seen) is None
    bench.admit(tokens=7)
    assert bench.sums() == (1, 7)


@pytest.mark.parametrize("later", [60, 61, 62, 122])
def test_a_rewriting_update_requires_that_no_bucket_was_begun(later: int) -> None:
    """A bucket that began after the read has the attribute name of a second 61 s later."""
    bench = ItemBench()
    assert bench.apply(plan_time(KEY, bench.item()))
    seen = bench.item(bench.now + later)
    bench.admit(tokens=3)
    ended = bench.ask(tokens=7, seen=seen)
    bench.now += later
    if ended is None:
        bench.admit(tokens=7)
    assert bench.sums() == ((2, 10) if later == 60 else (1, 7))


@pytest.mark.parametrize(
    ("limits", "request_of"),
    [
        ({"requests_per_minute": 2}, {}),
        ({"requests_per_day": 2}, {}),
        ({"concurrent_turns": 2}, {}),
        ({"tokens_per_minute": 10}, {"tokens": 5}),
        ({"tokens_per_month": 10}, {"tokens": 5}),
        ({"cost_per_month": 10}, {"cost_nanos": 5}),
        ({"sessions_per_day": 2}, {"new_session": True}),
    ],
)
@pytest.mark.parametrize("later", [0, 1])
def test_does_not_exceed_a_limit_reached_since_the_read(limits: Any, request_of: dict[str, Any], later: int) -> None:
    bench = ItemBench(limits)
    bench.admit(**request_of)
    seen = bench.item(bench.now + later)
    bench.admit(**request_of)
    before = dict(bench.attributes)
    assert bench.ask(seen=seen, **request_of) is None
    assert bench.attributes == before
    assert bench.reject(**request_of).limit == next(iter(limits))


# --- clocks


def test_a_clock_behind_uses_the_items_time() -> None:
    bench = ItemBench()
    bench.admit()
    bench.now = NOON - 90
    _, slot = bench.admit()
    assert (slot.admitted, bench.count("at")) == (SECOND, SECOND)
    assert bench.sums() == (2, 0)


def test_a_clock_ahead_moves_the_item_and_others_follow() -> None:
    bench = ItemBench()
    bench.now = NOON + AHEAD_SECONDS_MAX
    bench.admit()
    bench.now = NOON
    _, slot = bench.admit()
    assert slot.admitted == SECOND + AHEAD_SECONDS_MAX
    assert slot.lease_until >= slot.admitted
    assert bench.item().find(run_name(2)) == slot


def test_sets_back_an_item_far_ahead_without_losing_counts() -> None:
    bench = ItemBench({"requests_per_minute": 4, "tokens_per_minute": 100})
    for later in (500, 510, 520):
        bench.now = NOON + later
        bench.admit(tokens=10)
    bench.now = NOON
    _, slot = bench.admit(tokens=10)
    assert (slot.admitted, bench.count("at"), bench.sums()) == (SECOND, SECOND, (4, 40))
    assert bench.count(f"r{SECOND % BUCKETS:02}") == 4
    rejected = bench.reject(tokens=10)
    assert (rejected.limit, rejected.resets_at) == ("requests_per_minute", SECOND + BUCKETS)
    bench.now = NOON + BUCKETS
    bench.admit(tokens=10)
    assert bench.sums() == (1, 10)


def test_a_rejection_by_an_item_far_ahead_holds_after_it_is_set_back() -> None:
    bench = ItemBench({"requests_per_minute": 1})
    bench.now = NOON + 500
    bench.admit()
    bench.now = NOON
    assert bench.reject().retry_after_seconds == BUCKETS
    assert bench.apply(plan_time(KEY, bench.item()))
    bench.now += BUCKETS - 2
    bench.reject()
    bench.now += 2
    bench.admit()


# --- slots


def test_takes_a_slot_with_a_lease_and_a_sweep_mark() -> None:
    bench = ItemBench()
    name, slot = bench.admit(tokens=9, cost_nanos=8, new_session=True)
    assert slot == Slot(SECOND, SECOND, 9, 8, SECOND + 1 + SLOT_LEASE_SECONDS, new_session=True)
    assert bench.attributes["slots"] == {name: slot.text}
    assert (bench.attributes["sweep_pk"], bench.attributes["sweep_sk"]) == ("SWEEP#0", "here")
    assert {name: bench.count(name) for name in ("rd20261121", "sd20261121", "tm202611", "cm202611")} == {
        "rd20261121": 1,
        "sd20261121": 1,
        "tm202611": 9,
        "cm202611": 8,
    }


@pytest.mark.parametrize("runs_before", [0, 1])
@pytest.mark.parametrize("later", [0, 1])
def test_a_repeated_admission_counts_once(runs_before: int, later: int) -> None:
    bench = ItemBench({"concurrent_turns": 1})
    for _ in range(runs_before):
        bench.settle(*bench.admit())
    bench.now += later
    first = bench.plan_admission(9, tokens=5)
    assert first.update is not None
    assert bench.apply(first.update)
    assert not bench.apply(first.update)
    again = bench.plan_admission(9, tokens=5)
    assert (again.answer, again.update) == (first.answer, None)
    assert bench.sums() == (1 + runs_before, 5)


@pytest.mark.parametrize("place", ["slots", "late"])
def test_an_additive_update_does_not_admit_a_run_that_has_a_slot(place: str) -> None:
    bench = ItemBench({"concurrent_turns": 2})
    bench.settle(*bench.admit())
    repeated = bench.plan_admission(9).update
    assert repeated is not None
    assert bench.apply(repeated)
    item = bench.table.items[KEY]
    bench.table.items[KEY] = before = {**item, "slots": {}, "late": {}, place: item["slots"]}
    assert not bench.apply(repeated)
    assert bench.attributes == before


def test_expired_leases_move_exactly_when_the_slots_are_full() -> None:
    bench = ItemBench({"concurrent_turns": 3})
    bench.admit()
    bench.admit()
    bench.now += SLOT_LEASE_SECONDS + 10
    bench.admit()
    assert (len(bench.attributes["slots"]), len(bench.attributes["late"])) == (3, 0)
    bench.admit()
    assert sorted(bench.attributes["slots"]) == [run_name(3), run_name(4)]
    assert sorted(bench.attributes["late"]) == [run_name(1), run_name(2)]


@pytest.mark.parametrize(("after", "is_over"), [(61.0, False), (61.5, True)])
def test_a_lease_expires_after_its_second(after: float, is_over: bool) -> None:
    bench = ItemBench({"concurrent_turns": 1})
    bench.admit()
    bench.now = SECOND + after
    assert isinstance(bench.ask(), Slot) is is_over


def test_does_not_move_a_renewed_lease() -> None:
    bench = ItemBench({"concurrent_turns": 1})
    name, slot = bench.admit()
    bench.now += 62
    seen = bench.item()
    assert bench.renew(name, slot)
    assert bench.ask(seen=seen) is None
    assert isinstance(bench.ask(), Rejected)


def test_an_expired_slot_keeps_its_reservation_but_cannot_be_renewed() -> None:
    bench = ItemBench({"concurrent_turns": 1, "tokens_per_month": 100})
    name, slot = bench.admit(tokens=60)
    bench.now += 62
    rejected = bench.reject(tokens=41)
    assert (rejected.limit, rejected.used) == ("tokens_per_month", 60)
    bench.admit(tokens=40)
    assert not bench.renew(name, slot)
    assert bench.extend(name, slot, Used(1, 1)) == LeaseExpired()
    assert bench.item().find(name) == slot
    assert bench.settle(name, slot, 10)
    assert bench.count("tm202611") == 50


def test_rejects_if_all_slots_are_unsettled() -> None:
    bench = ItemBench({"concurrent_turns": 2})
    for _ in range(2 + SLOTS_MAX):
        bench.admit()
        bench.now += SLOT_LEASE_SECONDS + 2
    assert (len(bench.attributes["slots"]), len(bench.attributes["late"])) == (2, SLOTS_MAX)
    assert bench.reject().limit == "concurrent_turns"
    name = next(iter(bench.attributes["late"]))
    slot = bench.item().find(name)
    assert slot is not None
    assert bench.settle(name, slot)
    bench.admit()


def test_one_write_moves_a_bounded_number_of_leases() -> None:
    bench = ItemBench({"concurrent_turns": SLOTS_MAX})
    for later in range(SLOTS_MAX):
        bench.now = NOON + later * 0.4
        bench.admit(tokens=1)
    bench.now = NOON + 200
    bench.admit(tokens=1)
    assert len(bench.attributes["late"]) == MOVED_MAX
    assert run_name(1) in bench.attributes["late"]
    bench.check()


def test_no_limit_means_the_items_maximum_of_slots() -> None:
    for limit in (-1, 500):
        bench = ItemBench({"concurrent_turns": limit})
        for _ in range(SLOTS_MAX):
            bench.admit()
        assert bench.reject().max == SLOTS_MAX


# --- days and months


def test_day_and_month_roll_over() -> None:
    bench = ItemBench({"requests_per_day": 1, "tokens_per_month": 10})
    bench.admit(tokens=6)
    assert bench.reject(tokens=1).limit == "requests_per_day"
    bench.now = MIDNIGHT - 0.1
    assert bench.reject(tokens=1).retry_after_seconds == 1
    bench.now = MIDNIGHT
    assert bench.reject(tokens=5).limit == "tokens_per_month"
    bench.admit(tokens=4)
    bench.now = DECEMBER - 0.5
    assert bench.reject(tokens=1).limit == "tokens_per_month"
    bench.now = DECEMBER
    bench.admit(tokens=10)


def test_counters_of_old_days_and_months_are_dropped() -> None:
    bench = ItemBench()
    for day in range(70):
        bench.now = NOON + day * DAY
        bench.admit(tokens=1, cost_nanos=1, new_session=True)
    dated = sorted(name for name in bench.attributes if len(name) in {8, 10} and name[1] in "dm")
    kept = {"day": ("20270128", "20270129"), "month": ("202612", "202701")}
    limits = [each for each in DEFINITIONS.values() if each.span in kept]
    assert dated == sorted(f"{each.letter}{each.span[0]}{period}" for each in limits for period in kept[each.span])


def test_a_run_counts_in_the_day_and_month_of_its_admission() -> None:
    bench = ItemBench()
    bench.now = DECEMBER - 1
    name, slot = bench.admit(tokens=50, cost_nanos=500, new_session=True)
    bench.now = DECEMBER + 20
    extended = bench.extend(name, slot, Used(30, 300), tokens=40, cost_nanos=400)
    assert isinstance(extended, Slot)
    assert (bench.count("tm202611"), bench.count("cm202611")) == (70, 700)
    bench.admit(tokens=1)
    assert bench.settle(name, extended, 45, 450)
    assert (bench.count("tm202611"), bench.count("cm202611"), bench.count("tm202612")) == (45, 450, 1)
    assert (bench.count("rd20261130"), bench.count("sd20261130"), bench.count("rd20261201")) == (1, 1, 1)
    assert bench.sums() == (2, 46)


def test_undoes_a_run_on_the_day_of_its_admission() -> None:
    bench = ItemBench()
    bench.now = MIDNIGHT - 1
    name, slot = bench.admit(tokens=5, new_session=True)
    bench.now = MIDNIGHT + 1
    bench.admit(tokens=1)
    assert bench.settle(name, slot, undone=True)
    assert {day: bench.count(day) for day in ("rd20261121", "sd20261121", "rd20261122")} == {
        "rd20261121": 0,
        "sd20261121": 0,
        "rd20261122": 1,
    }
    assert bench.sums() == (1, 1)


def test_a_further_call_is_checked_against_the_runs_month() -> None:
    bench = ItemBench({"tokens_per_month": 100})
    bench.now = DECEMBER - 1
    name, slot = bench.admit(tokens=50)
    bench.now = DECEMBER + 1
    rejected = bench.extend(name, slot, Used(50, 0), tokens=51)
    assert isinstance(rejected, Rejected)
    assert (rejected.limit, rejected.used) == ("tokens_per_month", 50)
    assert rejected.usages[-1].used == 50
    assert isinstance(bench.extend(name, slot, Used(50, 0), tokens=50), Slot)


NEW_ROWS = sorted(set(product("rstc", ("day", "month"))) - {(each.letter, each.span) for each in DEFINITIONS.values()})


@pytest.mark.parametrize(("letter", "span"), NEW_ROWS)
def test_a_new_row_of_the_table_counts_and_rejects(
    monkeypatch: pytest.MonkeyPatch, letter: Counted, span: Span
) -> None:
    """Admission, extension and settlement use the table of limits, so a new limit needs no other code."""
    name: Any = "new"
    monkeypatch.setitem(
        cast("dict[Any, Any]", DEFINITIONS), name, LimitDefinition(name, "for a test", span, letter, 1_000)
    )
    bench = ItemBench({name: 100})
    counter = DEFINITIONS[name].counter(SECOND)
    run, slot = bench.admit(tokens=60, cost_nanos=60, new_session=True)
    assert bench.attributes[counter] == (60 if letter in "tc" else 1)
    extended = bench.extend(run, slot, Used(20, 20), tokens=70, cost_nanos=70)
    assert isinstance(extended, Slot)
    assert bench.attributes[counter] == (90 if letter in "tc" else 1)
    if letter in "tc":
        assert bench.reject(tokens=11, cost_nanos=11).limit == name
    assert bench.settle(run, extended, tokens=30, cost_nanos=30)
    assert bench.attributes[counter] == (30 if letter in "tc" else 1)
    undone, slot = bench.admit(tokens=5, cost_nanos=5, new_session=True)
    assert bench.settle(undone, slot, undone=True)
    assert bench.attributes[counter] == (30 if letter in "tc" else 1)
