"""Policy decisions are compared with a reference implementation, and each rule is tested separately."""

from decimal import Decimal

import pytest
from atrium.kernel.ids import PolicyId
from atrium.policy.builtin import BUILT_IN
from atrium.policy.conditions import ALWAYS, Conditions
from atrium.policy.engine import MATCHES_MAX, PolicySet, match
from atrium.policy.model import AccessRequest, Circumstances, Decision, Effect, Policy
from hypothesis import given
from hypothesis import strategies as st

from tests.builders.runtimes import NOON
from tests.unit.policy import naive

SUBJECT = frozenset({"tenant:t", "user:ann", "role:user", "scope:chat"})


def policy(
    effect: Effect = "allow",
    *,
    principals: tuple[str, ...] = ("*",),
    actions: tuple[str, ...] = ("*",),
    resources: tuple[str, ...] = ("*",),
    conditions: Conditions = ALWAYS,
    priority: int = 0,
    name: str = "p",
) -> Policy:
    made = PolicyId(f"pol_{name}")
    return Policy(made, name, effect, principals, actions, resources, NOON, NOON, conditions, priority)


def decide(
    *own: Policy,
    resource: str = "tool:clock",
    action: str = "execute",
    subject: frozenset[str] = SUBJECT,
    amount: Decimal | None = None,
) -> Decision:
    circumstances = Circumstances(NOON, "203.0.113.9", "pro", amount)
    return PolicySet(own, BUILT_IN).decide(AccessRequest(subject, action, resource, circumstances))


names = st.text("ab*:", max_size=6)


@given(names, st.text("ab:", max_size=8))
def test_wildcards_match_like_the_reference(pattern: str, name: str) -> None:
    assert match(pattern, name) == naive.fits(pattern, name)


def test_a_pattern_of_many_wildcards_is_not_slow() -> None:
    assert not match("a*" * 20_000 + "b", "a" * 100_000)


principals = st.sampled_from(
    ["*", "tenant:*", "tenant:t", "user:*", "user:ann", "user:bob", "role:user", "role:admin", "scope:chat", "key:k"]
)
resources = st.sampled_from(
    ["*", "tool:*", "tool:clock", "tool:c*", "tool:*k", "model:*", "model:big", "route:*", "route:GET /v1/*"]
)
plans = st.lists(st.sampled_from(["free", "pro"]), min_size=1, unique=True)
bounds = st.fixed_dictionaries({}, optional={"min": st.integers(0, 3).map(str), "max": st.integers(0, 3).map(str)})
conditions = st.fixed_dictionaries({}, optional={"plan": plans, "amount": bounds.filter(bool)}).map(
    Conditions.model_validate
)
policies = st.builds(
    policy,
    st.sampled_from(["allow", "allow", "deny"]),
    principals=st.lists(principals, min_size=1, max_size=2).map(tuple),
    actions=st.lists(st.sampled_from(["*", "execute", "ex*", "read"]), min_size=1, max_size=2).map(tuple),
    resources=st.lists(resources, min_size=1, max_size=2).map(tuple),
    conditions=conditions,
    priority=st.integers(-2, 2),
    name=st.text("abcdef", min_size=3, max_size=3),
)
requests = st.builds(
    AccessRequest,
    st.frozensets(st.sampled_from(["tenant:t", "user:ann", "user:bob", "role:admin", "scope:admin", "scope:chat"])),
    st.sampled_from(["execute", "read"]),
    st.sampled_from(
        ["tool:clock", "tool:calc", "model:big", "route:GET /v1/agents", "route:POST /v1/chat", "method:x"]
    ),
    st.builds(
        Circumstances,
        st.just(NOON),
        st.just(""),
        st.sampled_from(["free", "pro"]),
        st.none() | st.integers(0, 3).map(Decimal),
    ),
)


@given(st.lists(policies, max_size=6), st.lists(requests, min_size=1, max_size=8))
def test_decides_like_the_reference(own: list[Policy], asked: list[AccessRequest]) -> None:
    compiled = PolicySet(own, BUILT_IN)
    for request in [*asked, *asked]:
        decision = compiled.decide(request)
        allowed, matched = naive.allowed(own, request)
        assert decision.allowed == allowed
        assert set(decision.matched) == matched
        assert bool(matched) == (not decision.reason.startswith("no policy"))


@given(st.lists(policies, max_size=5), requests, policies)
def test_adding_policies_is_monotonic(own: list[Policy], request: AccessRequest, further: Policy) -> None:
    before, after = (PolicySet(some, ()).decide(request).allowed for some in (own, [*own, further]))
    if further.effect == "deny":
        assert before or not after
    else:
        assert after or not before


def test_default_is_deny() -> None:
    decision = decide(policy(resources=("tool:other",)))
    assert decision == Decision(False, "no policy allows execute on tool:clock")


def test_deny_wins_whatever_the_priority() -> None:
    decision = decide(policy("allow", priority=1_000, name="a"), policy("deny", priority=-1_000, name="d"))
    assert decision == Decision(False, "the policy “d” denies it", ("pol_d", "pol_a"))


def test_reports_the_policy_of_highest_priority() -> None:
    decision = decide(policy(priority=1, name="low"), policy(priority=7, name="high"), policy(priority=7, name="zigh"))
    assert decision == Decision(True, "the policy “high” allows it", ("pol_high", "pol_zigh", "pol_low"))


def test_a_deny_does_not_replace_built_in_policies() -> None:
    no_clock = policy("deny", resources=("tool:clock",), name="no-clock")
    assert decide(no_clock).matched == ("pol_no-clock", "builtin:chat")
    assert decide(no_clock, resource="tool:calculator").matched == ("builtin:chat",)


def test_an_allow_replaces_built_in_policies_of_its_resource_type() -> None:
    own = policy(principals=("user:bob",), resources=("tool:clock",))
    assert not decide(own).allowed
    assert not decide(own, resource="tool:calculator").allowed
    assert decide(own, resource="model:any").matched == ("builtin:chat",)
    assert not decide(policy(principals=("user:bob",)), resource="model:any").allowed


def test_unknown_circumstances_deny() -> None:
    small = Conditions.model_validate({"amount": {"max": "100"}})
    large = Conditions.model_validate({"amount": {"min": "100.01"}})
    allow, deny = policy(conditions=small, name="a"), policy("deny", conditions=large, name="d")
    assert decide(allow, amount=Decimal(100)).allowed
    assert not decide(allow, amount=Decimal("100.001")).allowed
    assert not decide(allow).allowed
    assert decide(policy(), deny, amount=Decimal(100)).allowed
    assert not decide(policy(), deny).allowed


def test_the_cache_is_bounded_and_correct() -> None:
    compiled = PolicySet([policy(resources=("tool:1*",))], BUILT_IN)
    circumstances = Circumstances(NOON)
    for _ in range(2):
        for number in range(MATCHES_MAX + 50):
            asked = AccessRequest(SUBJECT, "execute", f"tool:{number}", circumstances)
            assert compiled.decide(asked).allowed == str(number).startswith("1")
    assert len(compiled._matches) == MATCHES_MAX


@pytest.mark.parametrize(
    ("resource", "action", "allowed"),
    [
        ("tool:any", "read", True),
        ("tool:any", "write", True),
        ("tool:any", "admin", False),
        ("tool:any", "delete", False),
        ("route:GET /v1/sessions", "read", False),
    ],
)
def test_built_in_policies_of_scopes_allow_execute_and_the_permissions_of_tools(
    resource: str, action: str, allowed: bool
) -> None:
    subject = SUBJECT | {"scope:chat", "scope:sessions:read"}
    assert decide(resource=resource, action=action, subject=subject).allowed is allowed
    assert decide(resource=resource, action=action, subject=SUBJECT | {"scope:admin"}).allowed
