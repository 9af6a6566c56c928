"""The platform limit at `/v1/chat`: named in the error, for every tenant, and nothing counted for who is rejected."""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from tests.builders.counters import counted, held
from tests.builders.house import OTHER_TENANT as OTHER
from tests.builders.stage import OTHER_TENANT, Stage, assert_problem, say, wait_until

pytestmark = pytest.mark.loopback


@pytest.fixture
def platform_limit_of_one(stage: Stage) -> None:
    settings = replace(stage.runtime.settings, platform_concurrency=1)
    object.__setattr__(stage.runtime, "settings", settings)


@pytest.mark.usefixtures("platform_limit_of_one")
@pytest.mark.parametrize("path", ["/v1/chat", "/v1/chat/stream"])
@pytest.mark.parametrize("plan", ["pro", "enterprise"])
def test_rejects_a_turn_beyond_the_limit(stage: Stage, plan: str, path: str) -> None:
    stage.house.configure(OTHER, plan=plan)
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(say, stage.chat_as(), "[[slow=0.2]] [[pieces=10]] Hi")
        wait_until(stage.server.requests)
        refused = stage.chat_as(OTHER_TENANT).post(path, json={"message": "Hi"})
        body = assert_problem(refused, 429, "CONCURRENCY_LIMITED")
        assert (body["limit"], body["scope"], body["used"], body["max"]) == ("platform_concurrency", "platform", 1, 1)
        assert refused.headers["retry-after"] == "1"
        assert (counted(stage.house, "requests_per_day", OTHER), held(stage.house, OTHER)) == (0, [])
        assert len(stage.server.requests()) == 1
        assert slow.result().status_code == 200
    (event,) = stage.events("quota.refuse", OTHER)
    assert event.details["limit"] == "platform_concurrency"
    time.sleep(1)  # for so long a full platform is remembered
    assert say(stage.chat_as(OTHER_TENANT), "Now").status_code == 200
    assert held(stage.house, OTHER) == []
