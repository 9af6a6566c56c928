"""Reading an admission item, and the text format of its slots."""

import pytest
from atrium.kernel.ids import RunId
from atrium.quotas.item import AdmissionItem, ItemUpdate, bucket
from atrium.quotas.limits import BUCKETS, DEFINITIONS
from atrium.quotas.model import TENANT, Reservation, Slot
from atrium.storage.keys import Key
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.builders.quota_items import NOON, SECOND, run_id, run_name

AMOUNTS = st.integers(0, 2**70)
SLOTS = st.builds(
    Slot,
    admitted=st.just(SECOND),
    second=st.integers(SECOND, SECOND + 10**6),
    tokens=AMOUNTS,
    cost_nanos=AMOUNTS,
    lease_until=st.integers(SECOND - 200, SECOND + 10**6),
    call=st.integers(1, 1_000),
    past_tokens=AMOUNTS,
    past_cost_nanos=AMOUNTS,
    new_session=st.booleans(),
)
FAST = settings(max_examples=60, derandomize=True, database=None)


@FAST
@given(SLOTS)
def test_reads_back_a_slot(slot: Slot) -> None:
    assert Slot.parse(slot.text) == slot
    assert slot.text.startswith(slot.reservation_text)


@FAST
@given(SLOTS, SLOTS)
def test_no_reservation_is_a_prefix_of_another(one: Slot, other: Slot) -> None:
    if one.reservation_text != other.reservation_text:
        assert not other.text.startswith(one.reservation_text)


@FAST
@given(SLOTS, SLOTS, st.none() | st.integers(0, 99), st.booleans())
def test_reads_back_a_reservation_with_the_tenants_slot_last(
    own: Slot, of_key: Slot, platform: int | None, recorded: bool
) -> None:
    reservation = Reservation(run_id(1), {"key_1": of_key, TENANT: own}, platform, recorded)
    item = reservation.to_item()
    found = Reservation.from_item(run_id(1), {**item, "slots": dict(reversed(item["slots"].items()))})
    assert found == reservation
    assert list(found.slots) == ["key_1", TENANT]
    assert found.own == own


@pytest.mark.parametrize("text", ["", ";", "a,b;c", "1,2,3,4,5,6,7,8,9;1", "1,,,,,,,;", "x,,,,,,,;1"])
def test_an_invalid_slot_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Slot.parse(text)


@pytest.mark.parametrize("behind", range(BUCKETS))
def test_keeps_buckets_of_the_last_sixty_one_seconds(behind: int) -> None:
    item = AdmissionItem({"at": SECOND, "v": 1, bucket("r", SECOND - behind): 3}, NOON)
    assert item.buckets == [(SECOND - behind, "r", bucket("r", SECOND - behind), 3)]
    assert item.live("r") == [(SECOND - behind, 3)]
    assert item.live("t") == []
    assert item.used(DEFINITIONS["requests_per_minute"]) == 3
    assert item.counts_in_window(SECOND - behind)
    later = AdmissionItem(item.attributes, NOON + BUCKETS - behind)
    assert later.used(DEFINITIONS["requests_per_minute"]) == 0
    assert AdmissionItem(item.attributes, later.now - 1).used(DEFINITIONS["requests_per_minute"]) == 3


def test_ignores_buckets_outside_the_window() -> None:
    item = AdmissionItem({"at": SECOND, "v": 1}, NOON)
    assert not item.counts_in_window(SECOND + 1)
    assert not item.counts_in_window(SECOND - BUCKETS)
    assert not AdmissionItem(None, NOON).counts_in_window(SECOND)


def test_a_new_item_is_empty() -> None:
    nothing: tuple[dict[str, int] | None, ...] = (None, {})
    for attributes in nothing:
        item = AdmissionItem(attributes, NOON)
        assert (item.at, item.time, item.version, item.slots, item.late, item.buckets) == (
            SECOND,
            None,
            None,
            {},
            {},
            [],
        )
        assert {item.used(each) for each in DEFINITIONS.values() if each.place == "admission"} == {0}
        assert item.find(run_name(1)) is None


def test_distinguishes_counters_from_similar_attributes() -> None:
    item = AdmissionItem(
        {"at": SECOND, "rn": 5, "r1": 1, "r001": 1, "rx": 1, "kn": 2, "rd20261121": 4, "fence": "f"}, NOON
    )
    assert item.buckets == []
    assert item.outdated() == []


def test_the_item_knows_the_attribute_of_each_counter() -> None:
    """Otherwise the attribute of an old day or month would never be removed from the item."""
    for each in DEFINITIONS.values():
        if each.span in {"day", "month"}:
            name = each.counter(SECOND - 100 * 86_400)
            assert AdmissionItem({"at": SECOND, name: 1}, NOON).outdated() == [name]
            assert AdmissionItem({"at": SECOND, each.counter(SECOND - 86_400): 1}, NOON).outdated() == []


def test_an_update_names_each_attribute_once_and_counts_the_version() -> None:
    update = ItemUpdate()
    update.add("rn", 2)
    update.add("rn", 3)
    update.add("tn", 1)
    update.add("tn", -1)
    update.set("slots.a", "x")
    update.remove("slots.b")
    update.require_version(4)
    built = update.build(Key("A", "B"))
    assert built.expression == "SET #n0.#n1 = :v0 ADD #n4 :v2, #n3 :v3 REMOVE #n0.#n2"
    assert built.condition == "#n3 = :v1"
    assert dict(built.values) == {"v0": "x", "v1": 4, "v2": 5, "v3": 1}
    assert dict(built.names) == {"n0": "slots", "n1": "a", "n2": "b", "n3": "v", "n4": "rn"}
    assert not built.returns


def test_finds_a_run_by_its_half_of_the_id() -> None:
    slot = Slot(SECOND, SECOND, 1, 1, SECOND)
    item = AdmissionItem({"at": SECOND, "slots": {run_name(7): slot.text}, "late": {run_name(8): slot.text}}, NOON)
    assert item.find(run_name(7)) == item.find(run_name(8)) == slot
    assert RunId(f"run_{run_name(7)}{run_name(9)}")[4:30] == run_name(7)
