"""`GET /v1/limits`: the current state of every limit, including the limits of the caller."""

from atrium.identity.keys.store import KeyStore
from atrium.quotas.limits import DEFINITIONS
from atrium.quotas.model import ScopeLimits, Used
from starlette.testclient import TestClient

from functions.usage.app import build
from tests.builders.deployments import Deployment
from tests.builders.gateway import call_as, platform_fields
from tests.integration.limits.conftest import Limited, open_limited

MEMBERS = {"name", "scope", "max", "used", "remaining", "window_seconds", "resets_at"}


def test_a_new_tenant_has_its_plans_limits_and_has_used_nothing(free: Limited) -> None:
    answer = free.read()
    assert answer["plan"] == "free"
    assert [each["name"] for each in answer["limits"]] == list(DEFINITIONS)
    assert all(set(each) == MEMBERS for each in answer["limits"])
    shown = {each["name"]: (each["max"], each["remaining"], each["window_seconds"]) for each in answer["limits"]}
    assert shown == {
        "sessions_per_day": (50, 50, 86_400),
        "messages_per_session": (20, 20, None),
        "tokens_per_month": (100_000, 100_000, 30 * 86_400),
        "concurrent_turns": (2, 2, None),
        "requests_per_minute": (60, 60, 60),
        "requests_per_day": (1_000, 1_000, 86_400),
        "tokens_per_minute": (40_000, 40_000, 60),
        "tool_calls_per_minute": (60, 60, 60),
        "cost_per_month": ("1.000000", "1.000000", 30 * 86_400),
        "users": (5, 5 - free.standing("users")["used"], None),
        "agents": (10, 10, None),
    }
    assert {each["resets_at"] for each in answer["limits"]} == {
        None, "2026-11-22T00:00:00.000Z", "2026-12-01T00:00:00.000Z"
    }  # fmt: skip


def test_shows_reservations_and_settled_usage(free: Limited) -> None:
    reservation = free.admit(1_000, 2_500_000, new_session=True)
    used = {each["name"]: (each["used"], each["remaining"]) for each in free.read()["limits"]}
    assert used["requests_per_minute"] == (1, 59)
    assert used["tokens_per_minute"] == (1_000, 39_000)
    assert used["tokens_per_month"] == (1_000, 99_000)
    assert used["cost_per_month"] == ("0.002500", "0.997500")
    assert (used["sessions_per_day"], used["requests_per_day"]) == ((1, 49), (1, 999))
    assert used["concurrent_turns"] == (1, 1)
    free.service.settle(reservation, Used(300, 1_000_000))
    assert free.standing("tokens_per_month")["used"] == 300
    assert free.standing("cost_per_month")["used"] == "0.001000"
    assert free.standing("concurrent_turns")["used"] == 0


def test_a_minute_frees_by_itself_and_says_when(free: Limited) -> None:
    free.admit()
    assert free.standing("requests_per_minute")["resets_at"] is not None
    free.deployment.clock.advance(62)
    standing = free.standing("requests_per_minute")
    assert (standing["used"], standing["remaining"], standing["resets_at"]) == (0, 60, None)
    assert free.standing("requests_per_day")["used"] == 1
    free.deployment.clock.advance(86_400)
    assert free.standing("requests_per_day")["used"] == 0


def test_a_lease_that_is_over_takes_no_slot(free: Limited) -> None:
    free.admit(500)
    free.deployment.clock.advance(62)
    assert free.standing("concurrent_turns")["used"] == 0
    assert free.standing("tokens_per_month")["used"] == 500


def test_counts_every_turn(pro: Limited) -> None:
    for _ in range(20):
        pro.admit(10, 1_000)
    assert pro.standing("concurrent_turns")["used"] == 20
    assert (pro.standing("requests_per_minute")["used"], pro.standing("tokens_per_month")["used"]) == (20, 200)
    assert pro.standing("cost_per_month")["used"] == "0.000020"


def test_no_limit_is_shown_as_such(deployment: Deployment) -> None:
    """The number of concurrent turns is an exception, because an admission item has at most 128 slots."""
    for standing in open_limited(deployment, "initech", "enterprise").read()["limits"]:
        expected = (128, 128) if standing["name"] == "concurrent_turns" else (-1, None)
        assert (standing["max"], standing["remaining"]) == expected, standing


def test_a_key_sees_only_its_own_limits(free: Limited) -> None:
    assert free.made.key
    key_id = free.made.key.key.id
    KeyStore(free.table).change(
        key_id, {"limits": {"requests_per_minute": 7, "cost_per_month": -1}}, now=free.deployment.clock()
    )
    free.admit(0, 0, ScopeLimits("key", {"requests_per_minute": 7}, key_id))
    free.admit()
    own = free.standing("requests_per_minute", "key")
    assert (own["max"], own["used"], own["remaining"], own["window_seconds"]) == (7, 1, 6, 60)
    assert free.standing("requests_per_minute")["used"] == 2
    other = free.deployment.make_key(free.made.tenant.id)
    assert len(free.read(principal_id=other.key.id)["limits"]) == len(DEFINITIONS)


def test_a_rotated_key_sees_those_of_its_own_item(free: Limited) -> None:
    assert free.made.key
    first = free.made.key.key.id
    new = free.deployment.make_key(free.made.tenant.id, limits={"concurrent_turns": 1})
    free.admit(0, 0, ScopeLimits("key", {"concurrent_turns": 1}, first))
    own = free.standing("concurrent_turns", "key", principal_id=first, credential_id=new.key.id)
    assert (own["max"], own["used"]) == (1, 1)


def test_another_tenant_sees_its_own(free: Limited, pro: Limited) -> None:
    free.admit(100)
    assert pro.standing("tokens_per_month")["used"] == 0
    assert pro.read()["plan"] == "pro"


def test_the_platform_sees_the_tenant_that_it_names(free: Limited) -> None:
    free.admit(100)
    inside = {"principal_type": "platform", "principal_id": "key_p", "scopes": "platform"}
    assert free.standing("tokens_per_month", **inside)["used"] == 100


def test_without_a_credential_or_a_tenant(free: Limited) -> None:
    def client(fields: object) -> TestClient:
        return call_as(build(lambda: free.deployment.runtime), fields)  # type: ignore[arg-type]  # fields are flat values

    assert client(None).get("/v1/limits").status_code == 401
    answer = client(platform_fields()).get("/v1/limits")
    assert (answer.status_code, answer.json()["code"]) == (400, "TENANT_REQUIRED")
    assert free.call_as().get("/v1/limits", params={"scope": "x"}).status_code == 422
