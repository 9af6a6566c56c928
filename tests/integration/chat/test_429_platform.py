"""The platform limit at `/v1/chat`. The error contains the limit's name, and every tenant is limited.

Rejected calls are not counted.
"""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from tests.builders.api_env import OTHER_TENANT, ApiEnv, assert_problem, say, wait_until
from tests.builders.counters import counted, held
from tests.builders.tenant_env import OTHER_TENANT as OTHER

pytestmark = pytest.mark.loopback


@pytest.fixture
def platform_limit_of_one(api_env: ApiEnv) -> None:
    settings = replace(api_env.runtime.settings, platform_concurrency=1)
    object.__setattr__(api_env.runtime, "settings", settings)


@pytest.mark.usefixtures("platform_limit_of_one")
@pytest.mark.parametrize("path", ["/v1/chat", "/v1/chat/stream"])
@pytest.mark.parametrize("plan", ["pro", "enterprise"])
def test_rejects_a_turn_beyond_the_limit(api_env: ApiEnv, plan: str, path: str) -> None:
    api_env.tenant_env.configure(OTHER, plan=plan)
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(say, api_env.chat_as(), "[[slow=0.2]] [[pieces=25]] Hi")
        wait_until(api_env.server.requests)
        refused = api_env.chat_as(OTHER_TENANT).post(path, json={"message": "Hi"})
        body = assert_problem(refused, 429, "CONCURRENCY_LIMITED")
        assert (body["limit"], body["scope"], body["used"], body["max"]) == ("platform_concurrency", "platform", 1, 1)
        assert refused.headers["retry-after"] == "1"
        assert (counted(api_env.tenant_env, "requests_per_day", OTHER), held(api_env.tenant_env, OTHER)) == (0, [])
        assert len(api_env.server.requests()) == 1
        assert slow.result().status_code == 200
    (event,) = api_env.events("quota.refuse", OTHER)
    assert event.details["limit"] == "platform_concurrency"
    time.sleep(1)  # after a rejection, the platform limit is cached as full for one second
    assert say(api_env.chat_as(OTHER_TENANT), "Now").status_code == 200
    assert held(api_env.tenant_env, OTHER) == []
