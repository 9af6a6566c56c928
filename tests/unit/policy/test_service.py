"""The policy service: policies are created, changed, deleted, listed, validated and evaluated. Changes are audited."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from atrium.kernel.errors import Conflict, CountExceeded, NotFound, ValidationFailed
from atrium.kernel.ids import PolicyId
from atrium.kernel.pagination import PageRequest
from atrium.policy import service
from atrium.policy.conditions import Conditions
from atrium.policy.store import PolicyStore
from atrium.storage import keys
from atrium.storage.table import PhysicalTable
from atrium.storage.writes import ANY, Delete

from tests.unit.policy.policy_env import ANN, BOB, FIRST_KEY, KEY, OTHER_TENANT, TENANT, PolicyEnv


@pytest.fixture
def policy_env(physical_table: PhysicalTable) -> PolicyEnv:
    return PolicyEnv(physical_table)


def test_reads_back_a_policy(policy_env: PolicyEnv) -> None:
    wanted = Conditions.model_validate({"ip": {"any_of": ["203.0.113.0/24"]}, "amount": {"max": "10"}})
    made = policy_env.create(
        name="Öffnungszeiten", description="why", effect="deny", principals=("user:*", "user:*", "role:viewer"),
        actions=("execute",), resources=("tool:x", "*"), conditions=wanted, priority=-5,
    )  # fmt: skip
    assert made.principals == ("user:*", "role:viewer")
    assert policy_env.service().get(made.id) == made
    assert policy_env.service().list(PageRequest()).items == [made]


def test_every_change_increments_the_version_and_is_audited(policy_env: PolicyEnv) -> None:
    made = policy_env.create(name="one")
    assert policy_env.version() == 2
    policy_env.clock.advance(1)
    changed = policy_env.service().change(made.id, {"effect": "deny", "priority": 3})
    assert (changed.effect, changed.priority, changed.name) == ("deny", 3, "one")
    assert changed.updated_at == made.updated_at + timedelta(seconds=1)
    assert policy_env.version() == 3
    policy_env.clock.advance(1)
    policy_env.service().delete(made.id)
    assert policy_env.version() == 4
    told = [(event.details["action"], event.details["effect"]) for event in policy_env.events("admin.change")]
    assert told == [("policy.delete", "deny"), ("policy.change", "deny"), ("policy.create", "allow")]
    assert {event.details["resource"] for event in policy_env.events("admin.change")} == {made.id}
    assert {event.origin.principal for event in policy_env.events("admin.change")} == {f"user:{BOB}"}


def test_writes_change_and_audit_event_in_one_transaction(policy_env: PolicyEnv) -> None:
    """Without the tenant's item, neither a policy nor an event is written."""
    room_version = policy_env.service()
    policy_env.table().write(Delete(keys.tenant(), ANY))
    with pytest.raises(NotFound):
        room_version.create({
            "name": "p", "effect": "allow", "principals": ("*",), "actions": ("*",), "resources": ("*",),
        })  # fmt: skip
    assert PolicyStore(policy_env.table()).read_all() == []
    assert policy_env.table().query(_audit_of(policy_env)).items == []


def _audit_of(policy_env: PolicyEnv) -> Any:
    from atrium.storage.table import Query

    return Query(keys.audit_day(policy_env.clock().date()))


def test_concurrent_changes(policy_env: PolicyEnv) -> None:
    made = policy_env.create()
    first = policy_env.service()
    record = first.guard.audit.recording("admin.change", {})
    store = PolicyStore(policy_env.table())
    policy_env.clock.advance(1)
    first.change(made.id, {"name": "first"})
    with pytest.raises(Conflict):
        store.replace(made, record, before=made)
    first.delete(made.id)
    with pytest.raises(Conflict):
        store.replace(made, record, before=made)
    with pytest.raises(NotFound):
        store.delete(made.id, record)
    assert policy_env.version() == 4


@pytest.mark.parametrize("policy_id", ["pol_01k6r5m2x8f3v9q4w7t1y0z5aa", "nonsense", "", "usr_#", "pol_01k6"])
def test_unknown_policies_are_not_found(policy_env: PolicyEnv, policy_id: str) -> None:
    for call in (
        policy_env.service().get,
        policy_env.service().delete,
        lambda wanted: policy_env.service().change(wanted, {}),
    ):
        with pytest.raises(NotFound):
            call(policy_id)


def test_another_tenants_policies_are_not_found(policy_env: PolicyEnv) -> None:
    made = policy_env.create()
    other = policy_env.service(tenant=OTHER_TENANT)
    assert other.list(PageRequest()).items == []
    with pytest.raises(NotFound):
        other.get(made.id)
    with pytest.raises(NotFound):
        other.delete(made.id)
    assert not other.evaluate("user:ann", "tool:clock").allowed
    assert policy_env.version(OTHER_TENANT) == 1


def test_lists_in_pages(policy_env: PolicyEnv) -> None:
    made = [policy_env.create(name=f"p{number}").id for number in range(5)]
    found: list[PolicyId] = []
    page = policy_env.service().list(PageRequest(2))
    while True:
        found += [policy.id for policy in page.items]
        if page.position is None:
            break
        page = policy_env.service().list(PageRequest(2, page.position))
    assert found == made


def test_bounds_the_number_of_policies(policy_env: PolicyEnv, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "POLICIES_MAX", 2)
    policy_env.create()
    policy_env.create()
    with pytest.raises(CountExceeded) as refused:
        policy_env.create()
    assert refused.value.extensions == {"limit": "policies", "used": 2, "max": 2, "resets_at": None}
    assert policy_env.version() == 3


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("name", " "),
        ("name", "x" * 101),
        ("name", "a\nb"),
        ("description", "x" * 501),
        ("principals", ()),
        ("principals", ("ann",)),
        ("principals", ("users:ann",)),
        ("principals", ("user:",)),
        ("principals", ("us*",)),
        ("principals", ("*:ann",)),
        ("principals", tuple(f"user:{number}" for number in range(51))),
        ("actions", ()),
        ("actions", ("",)),
        ("actions", ("x" * 201,)),
        ("resources", ()),
        ("resources", ("clock",)),
        ("resources", ("tools:clock",)),
        ("resources", ("tool:a\x00",)),
        ("priority", 1_001),
        ("priority", True),
    ],
)
def test_rejects_invalid_policies(policy_env: PolicyEnv, field: str, value: object) -> None:
    with pytest.raises(ValidationFailed) as refused:
        policy_env.create(**{field: value})
    errors = refused.value.extensions["errors"]
    assert isinstance(errors, list)
    assert errors[0]["loc"] == ["body", field]
    assert policy_env.version() == 1
    made = policy_env.create()
    with pytest.raises(ValidationFailed):
        policy_env.service().change(made.id, {field: value})
    assert policy_env.service().get(made.id) == made


def test_evaluates_for_users_keys_and_names(policy_env: PolicyEnv) -> None:
    policy_env.add_user(ANN, "viewer")
    policy_env.add_user(BOB, "admin")
    policy_env.add_key("chat")
    evaluate = policy_env.service().evaluate
    assert evaluate(f"user:{ANN}", "route:GET /v1/sessions").matched == ("builtin:sessions:read",)
    assert not evaluate(f"user:{ANN}", "route:POST /v1/chat").allowed
    assert evaluate(f"user:{BOB}", "route:DELETE /v1/anything").matched == ("builtin:admin",)
    assert evaluate(f"key:{KEY}", "tool:clock").matched == ("builtin:chat",)
    assert not evaluate("user:somebody", "tool:clock").allowed
    assert evaluate(f"tenant:{TENANT}", "route:GET /v1/limits").allowed
    assert not evaluate("client:cli_x", "tool:clock").allowed


def test_a_rotated_key_keeps_its_subject_name(policy_env: PolicyEnv) -> None:
    policy_env.add_key("chat")
    made = policy_env.create(effect="deny", principals=(f"key:{FIRST_KEY}",))
    assert policy_env.service().evaluate(f"key:{KEY}", "tool:clock").matched == (made.id, "builtin:chat")


def test_evaluation_sees_changes_at_once_and_is_not_audited(policy_env: PolicyEnv) -> None:
    stale = policy_env.service()
    made = policy_env.create(principals=("user:ann",), resources=("tool:*",))
    decision = stale.evaluate("user:ann", "tool:clock", "read")
    assert (decision.allowed, decision.matched) == (True, (made.id,))
    assert not stale.evaluate("user:bob", "tool:clock").allowed
    assert policy_env.events("policy.deny") == []
    assert policy_env.events("policy.allow") == []


def test_evaluates_under_given_circumstances(policy_env: PolicyEnv) -> None:
    wanted = {"time": {"days": ["sun"]}, "ip": {"any_of": ["10.0.0.0/8"]}, "plan": ["free"], "amount": {"max": "5"}}
    policy_env.create(conditions=Conditions.model_validate(wanted))
    evaluate = policy_env.service().evaluate
    sunday = policy_env.clock().replace(day=22)
    told: dict[str, Any] = {"at": sunday, "ip": "10.1.2.3", "plan": "free", "amount": Decimal(5)}
    assert evaluate("user:ann", "tool:x", **told).allowed
    for name in told:
        assert not evaluate("user:ann", "tool:x", **{key: value for key, value in told.items() if key != name}).allowed


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ("principal", ("ann", "tool:x", "execute")),
        ("principal", ("user:*", "tool:x", "execute")),
        ("resource", ("user:ann", "clock", "execute")),
        ("resource", ("user:ann", "*", "execute")),
        ("action", ("user:ann", "tool:x", "")),
        ("action", ("user:ann", "tool:x", "ex*")),
    ],
)
def test_rejects_invalid_questions(policy_env: PolicyEnv, field: str, words: tuple[str, str, str]) -> None:
    with pytest.raises(ValidationFailed) as refused:
        policy_env.service().evaluate(*words)
    errors = refused.value.extensions["errors"]
    assert isinstance(errors, list)
    assert errors[0]["loc"] == ["body", field]
