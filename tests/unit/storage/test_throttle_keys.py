"""Throttles are counted separately for each tenant."""

from atrium.kernel.ids import TenantId
from atrium.storage.throttle_keys import unlocks


def test_unlocking_in_one_tenant_does_not_use_up_anothers() -> None:
    first, second = (unlocks("ann@acme.example", TenantId(f"ten_{name}")) for name in ("a", "b"))
    assert first != second
