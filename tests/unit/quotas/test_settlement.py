"""The slot and counters of an admitted run: extension, renewal, settlement, and random sequences of operations."""

import pytest
from atrium.quotas.limits import BUCKETS
from atrium.quotas.model import SLOT_LEASE_SECONDS, Rejected, Slot, Used
from atrium.quotas.planning import plan_time
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.builders.quota_items import KEY, NOON, SECOND, ItemBench, run_name

# --- further calls


def test_an_extension_settles_the_last_call_and_reserves_the_next() -> None:
    bench = ItemBench({"tokens_per_minute": 100})
    name, slot = bench.admit(tokens=60, cost_nanos=600)
    bench.now += 30
    extended = bench.extend(name, slot, Used(20, 200), tokens=80, cost_nanos=800)
    assert extended == Slot(SECOND, SECOND + 30, 80, 800, SECOND + 91, 2, 20, 200)
    assert (bench.sums(), bench.count("tm202611"), bench.count("cm202611")) == ((1, 100), 100, 1_000)
    assert (bench.count(f"t{SECOND % 61:02}"), bench.count(f"t{(SECOND + 30) % 61:02}")) == (20, 80)
    assert bench.count("rd20261121") == 1
    bench.now += 31  # the first call is now outside the window
    bench.admit(tokens=20)
    assert bench.sums() == (1, 100)


def test_an_extension_ignores_a_second_outside_the_window() -> None:
    bench = ItemBench()
    name, slot = bench.admit(tokens=60)
    bench.now += 61
    assert isinstance(bench.extend(name, slot, Used(20, 0), tokens=5), Slot)
    assert (bench.sums(), bench.count("tm202611")) == ((0, 5), 25)


def test_a_repeated_extension_counts_once() -> None:
    bench = ItemBench()
    name, slot = bench.admit(tokens=60)
    seen = bench.item()
    extended = bench.extend(name, slot, Used(20, 0), tokens=5)
    assert bench.extend(name, slot, Used(20, 0), tokens=5, seen=seen) is None
    assert bench.extend(name, slot, Used(20, 0), tokens=5) == extended
    assert bench.sums() == (1, 25)


def test_a_rejected_extension_changes_nothing() -> None:
    bench = ItemBench({"tokens_per_minute": 100})
    name, slot = bench.admit(tokens=60)
    before = dict(bench.attributes)
    rejected = bench.extend(name, slot, Used(30, 0), tokens=71)
    assert isinstance(rejected, Rejected)
    assert rejected.used == 30
    assert bench.attributes == before
    assert isinstance(bench.extend(name, slot, Used(30, 0), tokens=70), Slot)


def test_an_extension_of_a_run_whose_item_is_set_back() -> None:
    bench = ItemBench()
    bench.now = NOON + 400
    name, slot = bench.admit(tokens=60)
    bench.now = NOON
    extended = bench.extend(name, slot, Used(20, 0), tokens=30)
    assert isinstance(extended, Slot)
    assert (bench.sums(), bench.count("at")) == ((1, 50), SECOND)
    assert bench.item().find(name) == extended


# --- settlement in every state


@pytest.mark.parametrize("moved", [False, True])
@pytest.mark.parametrize("later", [0, 30, 60, 61, 62, 500])
@pytest.mark.parametrize("extended", [False, True])
@pytest.mark.parametrize("used", [0, 30, 50, 80])
def test_a_settlement_corrects_to_real_usage_in_every_state(moved: bool, later: int, extended: bool, used: int) -> None:
    bench = ItemBench({"concurrent_turns": 1})
    name, slot = bench.admit(tokens=50, cost_nanos=50, new_session=True)
    past = 0
    if extended:
        past = 10
        answer = bench.extend(name, slot, Used(10, 10), tokens=50, cost_nanos=50)
        assert isinstance(answer, Slot)
    others = 0
    if moved:
        bench.now += SLOT_LEASE_SECONDS + 2
        bench.admit(tokens=7, cost_nanos=7)
        others = 7
    bench.now = max(bench.now, NOON + later)
    if later and not moved:
        bench.limits = {"concurrent_turns": 2}
        bench.admit(tokens=7, cost_nanos=7)
        others = 7
    assert bench.settle(name, slot, past + used, past + used)
    in_window = bench.count("at") < SECOND + BUCKETS
    window_of_others = others if others else 0
    assert bench.sums() == (int(in_window) + bool(others), (past + used) * in_window + window_of_others)
    assert (bench.count("tm202611"), bench.count("cm202611")) == (past + used + others,) * 2
    assert (bench.count("rd20261121"), bench.count("sd20261121")) == (1 + bool(others), 1)
    assert bench.item().find(name) is None
    before = dict(bench.attributes)
    assert not bench.settle(name, slot, past + used, past + used)
    assert bench.attributes == before


@pytest.mark.parametrize("later", [0, 60, 61, 400])
def test_an_undone_run_was_no_request_and_no_session(later: int) -> None:
    bench = ItemBench()
    name, slot = bench.admit(tokens=50, cost_nanos=50, new_session=True)
    bench.now += later
    bench.admit(number=9, tokens=1)
    assert bench.settle(name, slot, undone=True)
    assert bench.sums() == (1, 1)
    assert (bench.count("rd20261121"), bench.count("sd20261121"), bench.count("cm202611")) == (1, 0, 0)


def test_a_run_with_two_calls_that_is_undone_takes_from_a_second_only_what_it_added() -> None:
    bench = ItemBench()
    name, slot = bench.admit(tokens=50)
    bench.now += 5
    extended = bench.extend(name, slot, Used(40, 0), tokens=10)
    assert isinstance(extended, Slot)
    assert bench.settle(name, extended, undone=True)
    bench.check()
    assert bench.count("tm202611") == 0


def test_settles_a_slot_that_was_extended_or_renewed_since() -> None:
    bench = ItemBench()
    name, slot = bench.admit(tokens=50)
    bench.now += 5
    extended = bench.extend(name, slot, Used(40, 0), tokens=10)
    assert isinstance(extended, Slot)
    assert bench.renew(name, extended)
    assert bench.settle(name, slot, 45)
    assert bench.sums() == (1, 45)


def test_settling_an_unknown_run_changes_nothing() -> None:
    bench = ItemBench()
    assert not bench.settle(run_name(1), Slot(SECOND, SECOND, 5, 5, SECOND + 60), 5)
    assert not bench.table.items


def test_a_renewal_changes_only_the_lease() -> None:
    bench = ItemBench()
    name, slot = bench.admit(tokens=50)
    before = dict(bench.attributes)
    bench.now += 20
    assert bench.renew(name, slot)
    found = bench.item().find(name)
    assert found is not None
    assert (found.lease_until, found.reservation_text) == (SECOND + 81, slot.reservation_text)
    after = {**bench.attributes, "slots": 0, "v": 0}
    assert after == {**before, "slots": 0, "v": 0}


def test_advancing_time_drops_only_old_seconds() -> None:
    bench = ItemBench()
    bench.admit(tokens=5)
    bench.now += 30
    bench.admit(tokens=6)
    bench.now += 40
    assert bench.apply(plan_time(KEY, bench.item(), fence="one"))
    assert bench.sums() == (1, 6)
    assert (bench.count("tm202611"), bench.attributes["fence"], len(bench.attributes["slots"])) == (11, "one", 2)


# --- random sequences


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["admit", "admit", "extend", "settle", "undo", "time"]),
        st.integers(0, 9),
        st.sampled_from([0, 0, 0, 1, 5, 60, 61, 200, -1, -2, -119, -121, -500]),
    ),
    min_size=20,
    max_size=40,
)


@settings(max_examples=50, derandomize=True, database=None)
@given(STEPS)
def test_window_sums_equal_their_seconds_with_any_clocks(steps: list[tuple[str, int, int]]) -> None:
    bench = ItemBench()
    held: dict[str, Slot] = {}
    was_set_back = False  # if true, settlement may subtract from a second to which the reservation was not added
    for what, pick, move in steps:
        bench.now += move
        was_set_back |= bench.item().is_ahead
        name = sorted(held)[pick % len(held)] if held else ""
        if what == "admit":
            added, slot = bench.admit(tokens=pick)
            held[added] = slot
        elif what == "time":
            bench.apply(plan_time(KEY, bench.item()))
        elif not held:
            continue
        elif what == "extend":
            answer = bench.extend(name, held[name], Used(held[name].tokens_in_all, 0), tokens=pick)
            assert isinstance(answer, Slot)
            held[name] = answer
        else:
            slot = held.pop(name)
            assert bench.settle(name, slot, slot.past_tokens, undone=what == "undo" and slot.call == 1)
        if bench.table.items:
            bench.check(or_negative=was_set_back)
