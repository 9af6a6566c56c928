"""Denials in the audit log: equal denials are recorded once a minute. The number of different denials is limited."""

from decimal import Decimal

import pytest
from atrium.audit.bound import OF_TENANT_MAX
from atrium.kernel.errors import Unavailable
from atrium.storage.table import PhysicalTable

from tests.builders.refusals import refusing
from tests.unit.policy.policy_env import ADMIN, USER, VIEWER, PolicyEnv


@pytest.fixture
def policy_env(physical_table: PhysicalTable) -> PolicyEnv:
    return PolicyEnv(physical_table)


def test_records_equal_denials_once_a_minute(policy_env: PolicyEnv) -> None:
    for _ in range(10):
        assert not policy_env.guard(VIEWER).check_permission("tool:clock")
    assert len(policy_env.events("policy.deny")) == 1
    policy_env.clock.advance(60)
    assert not policy_env.guard(VIEWER).check_permission("tool:clock")
    assert len(policy_env.events("policy.deny")) == 2


def test_records_each_different_denial(policy_env: PolicyEnv) -> None:
    policy_env.create(effect="deny", resources=("tool:*",))
    guard = policy_env.guard(USER)
    for resource, amount, session_id in (
        ("tool:a", None, ""),
        ("tool:b", None, ""),
        ("tool:a", Decimal(1), ""),
        ("tool:a", None, "ses_1"),
    ):
        assert not guard.check_permission(resource, amount=amount, session_id=session_id)
    assert not policy_env.guard(ADMIN).check_permission("tool:a")
    assert len(policy_env.events("policy.deny")) == 5


def test_bounds_the_number_of_recorded_denials(policy_env: PolicyEnv) -> None:
    guard = policy_env.guard(VIEWER)
    for at in range(OF_TENANT_MAX + 10):
        assert not guard.check_permission(f"tool:made-up-{at}")
    items = policy_env.physical.client.scan(TableName=policy_env.physical.name)["Items"]
    audit = [item for item in items if "details" in item]
    assert len(audit) == OF_TENANT_MAX


def test_an_unrecorded_denial_fails_the_call_and_is_recorded_later(policy_env: PolicyEnv) -> None:
    guard = policy_env.guard(VIEWER)
    with (
        refusing(policy_env.physical, "PutItem", "InternalServerError", about="policy.deny"),
        pytest.raises(Unavailable),
    ):
        guard.check_permission("tool:clock")
    assert not guard.check_permission("tool:clock")
    assert len(policy_env.events("policy.deny")) == 1
