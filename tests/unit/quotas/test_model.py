"""In any order of operations, clocks and limit changes, no limit is exceeded, no slot leaks and no count is lost."""

from datetime import UTC, datetime, timedelta

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.builders.quota_model import run
from tests.builders.quota_workers import Step

STARTS = st.sampled_from([
    datetime(2026, 11, 21, 12, 0, 0, 250_000, tzinfo=UTC),
    datetime(2026, 11, 30, 23, 59, 30, tzinfo=UTC),
    datetime(2026, 12, 31, 23, 58, 59, 999_000, tzinfo=UTC) + timedelta(seconds=30),
])  # fmt: skip
KINDS = ["admit", "admit", "admit", "extend", "extend", "settle", "renew", "release", "admit again", "session"]
STEPS = st.builds(
    Step,
    st.sampled_from([*KINDS, "sweep", "wait", "wait", "limit"]),
    st.integers(0, 15),
    st.integers(0, 99),
    st.integers(0, 7),
)
CALLS = st.builds(
    Step,
    st.just("go"),
    st.integers(0, 3),
    fate=st.sampled_from(["go", "go", "go", "go", "repeat", "lose", "fail", "contend", "die", "die after"]),
)
OPEN_STEPS = st.builds(
    Step,
    st.sampled_from([*KINDS, "sweep", "limit", "wait"]),
    st.integers(0, 15),
    st.integers(0, 99),
    st.integers(0, 7),
    st.just(False),
)
SETTINGS = settings(
    max_examples=50,
    suppress_health_check=list(HealthCheck),
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.generate, Phase.shrink],
)


def walks(steps: st.SearchStrategy[Step], length: int) -> st.SearchStrategy[list[Step]]:
    """Return a strategy for lists of at most `length` steps. Hypothesis can shrink a list by removing steps."""
    some = st.lists(st.none() | steps, min_size=length, max_size=length)
    return some.map(lambda found: [step for step in found if step is not None])


@SETTINGS
@given(walks(STEPS, 50), STARTS)
def test_sequential_operations(steps: list[Step], start: datetime) -> None:
    run(steps, start)


@SETTINGS
@given(walks(STEPS | OPEN_STEPS | CALLS | CALLS | CALLS, 70), STARTS)
def test_interleaved_calls_with_lost_calls_and_killed_workers(steps: list[Step], start: datetime) -> None:
    run(steps, start)
