"""The usage aggregates to which a ledger entry is added, and the split of entries into transactions."""

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from atrium.usage.model import FIGURES, Arrival, Figures, Period, SumKey, principal_group
from atrium.usage.shared import NAMES_MAX, divide_sums, read_item, write_shared
from atrium.usage.sums import OPERATIONS_MAX, OTHER_TOOLS, TOOLS_MAX, contributions, merge, split, sum_key  # fmt: skip
from hypothesis import given
from hypothesis import strategies as st

from tests.builders.gateway import KEY_ID
from tests.builders.ledger import AGENT_ID, NOON, USER_ID, build_entry

DAY = date(2026, 11, 21)
WHOLE = Figures(1, 100, 20, 3, 4, 3, 12_345)


def test_adds_an_entry_to_the_sums_of_its_groups() -> None:
    assert contributions(build_entry(tool_calls={"calculator": 2, "now": 1})) == {
        SumKey(DAY, "TOTAL"): WHOLE,
        SumKey(DAY, "MODEL", "claude-haiku-5-5"): WHOLE,
        SumKey(DAY, "AGENT", AGENT_ID): WHOLE,
        SumKey(DAY, "KEY", KEY_ID): WHOLE,
        SumKey(DAY, "TOOL", "calculator"): Figures(requests=1, tool_calls=2),
        SumKey(DAY, "TOOL", "now"): Figures(requests=1, tool_calls=1),
    }


@pytest.mark.parametrize(
    ("principal_id", "group"),
    [(USER_ID, "USER"), (KEY_ID, "KEY"), ("cli_01k6r5m2x8f3v9q4w7t1y0z5ag", "CLIENT"), ("who", None)],
)
def test_group_of_a_principal(principal_id: str, group: str | None) -> None:
    assert principal_group(principal_id) == group
    found = {key.group for key in contributions(build_entry(principal_id=principal_id))}
    assert found == {"TOTAL", "MODEL", "AGENT"} | ({group} if group else set())


def test_uses_the_utc_day() -> None:
    evening_in_lima = datetime(2026, 11, 20, 20, 0, tzinfo=timezone(timedelta(hours=-5)))
    assert {key.day for key in contributions(build_entry(at=evening_in_lima))} == {DAY}


def test_groups_excess_tools_together() -> None:
    added = contributions(build_entry(tool_calls={f"tool_{number:03}": 2 for number in range(TOOLS_MAX + 30)}))
    tools = {key.value: figures for key, figures in added.items() if key.group == "TOOL"}
    assert len(tools) == TOOLS_MAX + 1
    assert tools[OTHER_TOOLS].tool_calls == 60
    assert len(added) + 1 <= OPERATIONS_MAX


def test_adds_contributions() -> None:
    one, other = contributions(build_entry()), contributions(build_entry(cost_nanos=5, at=NOON - timedelta(days=1)))
    merged = merge([one, one, other])
    assert merged[SumKey(DAY, "TOTAL")] == Figures(2, 200, 40, 6, 8, 0, 24_690)
    assert merged[SumKey(date(2026, 11, 20), "TOTAL")].cost_nanos == 5


def test_adds_the_cost_of_own_keys_separately() -> None:
    merged = merge([contributions(build_entry(cost_nanos=7)), contributions(build_entry(cost_nanos=5, own_key=True))])
    total = merged[SumKey(DAY, "TOTAL")]
    assert (total.cost_nanos, total.own_key_cost_nanos) == (12, 5)


def test_splits_batches_at_the_transaction_limit() -> None:
    same = [Arrival(build_entry(), str(number)) for number in range(200)]
    chunks = list(split(same))
    assert [len(chunk) for chunk in chunks] == [96, 96, 8]
    assert [arrival.sequence for chunk in chunks for arrival in chunk] == [str(number) for number in range(200)]

    days = [Arrival(build_entry(at=NOON + timedelta(days=number)), str(number)) for number in range(40)]
    assert [len(chunk) for chunk in split(days)] == [20, 20]


def test_counts_an_entry_repeated_in_a_batch_once() -> None:
    entry = build_entry()
    (chunk,) = split([Arrival(entry, "1"), Arrival(entry, "1")])
    assert len(chunk) == 1
    assert list(split([])) == []


def test_a_period_includes_both_ends() -> None:
    assert Period(DAY, DAY).days() == [DAY]
    assert len(Period(date(2028, 1, 1), date(2028, 12, 31)).days()) == 366


def test_time_zones_do_not_change_an_entry() -> None:
    assert contributions(build_entry(at=NOON)).keys() == contributions(build_entry(at=NOON.astimezone(UTC))).keys()


_FIGURES = st.builds(Figures, *[st.integers(0, 10**17)] * len(FIGURES))
_KEYS = st.builds(SumKey, st.just(DAY), st.sampled_from(["MODEL", "AGENT", "TOOL"]), st.text(min_size=1, max_size=40))


@given(st.dictionaries(_KEYS, _FIGURES, max_size=NAMES_MAX), _FIGURES)
def test_reads_back_a_shared_item(names: dict[SumKey, Figures], total: Figures) -> None:
    sums = {SumKey(DAY, "TOTAL"): total, **names}
    assert read_item(sum_key(SumKey(DAY, "TOTAL")), write_shared(sums)) == sums


def test_an_entry_updates_one_shared_item_and_the_principals() -> None:
    shared, own = divide_sums(contributions(build_entry(tool_calls={"calculator": 2, "now": 1})))
    assert {key.group for key in shared[DAY]} == {"TOTAL", "MODEL", "AGENT", "TOOL"}
    assert own == {SumKey(DAY, "KEY", KEY_ID): WHOLE}


def test_most_used_names_share_an_item() -> None:
    sums = {SumKey(DAY, "MODEL", f"m{number:02}"): Figures(number + 1) for number in range(NAMES_MAX + 5)}
    sums = {**sums, SumKey(DAY, "TOTAL"): sum(sums.values(), Figures())}
    shared, own = divide_sums(sums)
    assert len(shared[DAY]) == NAMES_MAX + 1
    assert sorted(key.value for key in own) == ["m00", "m01", "m02", "m03", "m04"]
    assert divide_sums(sums, unshared_days={DAY})[0] == {DAY: {SumKey(DAY, "TOTAL"): sums[SumKey(DAY, "TOTAL")]}}


def test_a_shared_item_of_all_its_names_stays_small() -> None:
    """A write of a larger item would cost more than writes of separate items for total, model and agent."""
    names = [SumKey(DAY, "AGENT", f"agt_{number:026}") for number in range(NAMES_MAX - 2)]
    names += [SumKey(DAY, "MODEL", f"claude-opus-5-{number}") for number in range(2)]
    figures = Figures(10**5, 10**9, 10**8, 10**9, 10**8, 10**5, 10**14)
    item = write_shared({SumKey(DAY, "TOTAL"): figures, **dict.fromkeys(names, figures)})
    named = sum(len(name) for name in item.pop("names"))
    assert named + sum(len(name) + len(str(value)) // 2 + 2 for name, value in item.items()) < 4_096 - 200
