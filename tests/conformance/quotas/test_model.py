"""Property tests of the admission model, with many more steps than in the unit tests."""

from datetime import datetime

import pytest
from hypothesis import given, settings

from tests.builders.quota_model import run
from tests.builders.quota_workers import Step
from tests.unit.quotas.test_model import CALLS, OPEN_STEPS, SETTINGS, STARTS, STEPS, walks

pytestmark = pytest.mark.timeout(1_500)
LONG = settings(SETTINGS, max_examples=300, derandomize=False, print_blob=True)


@LONG
@given(walks(STEPS, 150), STARTS)
def test_sequential_operations(steps: list[Step], start: datetime) -> None:
    run(steps, start)


@LONG
@given(walks(STEPS | OPEN_STEPS | CALLS | CALLS | CALLS, 150), STARTS)
def test_interleaved_calls_with_lost_calls_and_killed_workers(steps: list[Step], start: datetime) -> None:
    run(steps, start)
