"""The model of admission over long walks: many times what the unit tests take."""

from datetime import datetime

import pytest
from hypothesis import given, settings

from tests.builders.quota_model import Step, run
from tests.unit.quotas.test_model import CALLS, OPEN_STEPS, SETTINGS, STARTS, STEPS, walks

pytestmark = pytest.mark.timeout(1_500)
LONG = settings(SETTINGS, max_examples=300, derandomize=False, print_blob=True)


@LONG
@given(walks(STEPS, 150), STARTS)
def test_one_after_the_other(steps: list[Step], start: datetime) -> None:
    run(steps, start)


@LONG
@given(walks(STEPS | OPEN_STEPS | CALLS | CALLS | CALLS, 150), STARTS)
def test_between_any_two_calls_with_calls_lost_and_workers_killed(steps: list[Step], start: datetime) -> None:
    run(steps, start)
