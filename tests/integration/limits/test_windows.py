"""Day and month limits reset at the end of the UTC day or month, not earlier. The clock is manual."""

from datetime import UTC, datetime

import pytest
from atrium.quotas.model import Admitted, Rejected, Used

from tests.integration.limits.conftest import Limited


@pytest.mark.parametrize(
    ("limits", "tokens", "cost_nanos", "name", "ends"),
    [
        ({"requests_per_day": 1}, 0, 0, "requests_per_day", datetime(2026, 11, 22, tzinfo=UTC)),
        ({"tokens_per_month": 100}, 60, 0, "tokens_per_month", datetime(2026, 12, 1, tzinfo=UTC)),
        ({"cost_per_month": "0.001"}, 0, 600_000, "cost_per_month", datetime(2026, 12, 1, tzinfo=UTC)),
    ],
)
def test_it_frees_at_its_end(
    free: Limited, limits: dict[str, int], tokens: int, cost_nanos: int, name: str, ends: datetime
) -> None:
    free.put(limits)
    clock = free.deployment.clock
    free.service.settle(free.admit(tokens, cost_nanos), Used(tokens, cost_nanos))
    rejected = free.ask(tokens, cost_nanos)
    assert isinstance(rejected, Rejected)
    assert (rejected.limit, rejected.resets_at) == (name, ends.timestamp())
    assert rejected.retry_after_seconds is not None
    assert 0 <= rejected.retry_after_seconds - (ends - clock()).total_seconds() < 1
    clock.advance(rejected.retry_after_seconds - 2)
    assert isinstance(free.ask(tokens, cost_nanos), Rejected)
    assert free.standing(name)["remaining"] != free.standing(name)["max"]
    clock.advance(2)
    assert free.standing(name)["remaining"] == free.standing(name)["max"]
    assert isinstance(free.ask(tokens, cost_nanos), Admitted)
