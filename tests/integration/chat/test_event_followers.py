"""The limit on followers of run events.

Each follower occupies a container, so a tenant's followers are limited. Followers of ended runs are not counted.
"""

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from atrium.runs.followers import LEASE_SECONDS
from atrium.storage import keys
from atrium.storage.writes import ANY, Put

from functions.chat import runs
from tests.builders.api_env import ApiEnv, read_events, say, start_stream
from tests.builders.gateway import OTHER_TENANT_ID, tenant_fields

pytestmark = pytest.mark.loopback

JSON = {"accept": "application/json"}
PRO = 32


@pytest.fixture
def open_run(api_env: ApiEnv) -> Iterator[str]:
    """The id of a run that continues until the test ends."""
    message = "[[slow=0.2]] [[pieces=20]] a b c d e f g h i j k l m n o p q r s t [[echo]]"
    run_id, thread = start_stream(api_env.chat_as(), message)
    yield run_id
    api_env.chat_as().post(f"/v1/runs/{run_id}/cancel")
    thread.join(60)


def occupy(api_env: ApiEnv, count: int) -> None:
    ends_at = int(api_env.tenant_env.clock().timestamp()) + LEASE_SECONDS
    slots = {f"other{number}": ends_at for number in range(count)}
    api_env.tenant_env.table().write(Put(keys.followers(), {"slots": slots}, ANY))


def slots(api_env: ApiEnv) -> dict[str, int]:
    found: dict[str, int] = (api_env.tenant_env.table().get(keys.followers()) or {"slots": {}})["slots"]
    return found


def ask(api_env: ApiEnv, run_id: str, headers: dict[str, str] | None = None, **query: int) -> Any:
    return api_env.chat_as().get(f"/v1/runs/{run_id}/events", headers=headers, params=query)


def test_a_full_tenant_is_429_with_the_limits_name(api_env: ApiEnv, open_run: str) -> None:
    occupy(api_env, PRO)
    for answer in (ask(api_env, open_run), ask(api_env, open_run, JSON, wait=20)):
        problem = answer.json()
        assert (answer.status_code, problem["code"], problem["limit"]) == (
            429,
            "CONCURRENCY_LIMITED",
            "event_followers",
        )
        assert (problem["scope"], problem["used"], problem["max"]) == ("tenant", PRO, PRO)
        assert answer.headers["retry-after"] == "5"
    assert ask(api_env, open_run, JSON).status_code == 200, "without a wait it holds nothing"
    assert len(slots(api_env)) == PRO


def test_a_poll_that_waits_counts_while_it_waits(api_env: ApiEnv, open_run: str) -> None:
    seen: list[int] = []
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            seen.append(len(slots(api_env)))

    looker = threading.Thread(target=look)
    looker.start()
    try:
        answer = ask(api_env, open_run, JSON, wait=1, after=1_000)
    finally:
        done.set()
        looker.join()
    assert answer.status_code == 200
    assert max(seen) == 1
    assert slots(api_env) == {}


def test_a_stream_counts_until_its_time_is_over(
    api_env: ApiEnv, open_run: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stream ends without a final event, so an EventSource reconnects with the number of its last event."""
    monkeypatch.setattr(runs, "FOLLOW_SECONDS_MAX", 0.6)
    occupy(api_env, PRO - 1)
    counts, ids = [], []
    with api_env.chat_as().stream("GET", f"/v1/runs/{open_run}/events") as response:
        assert response.status_code == 200
        for event in read_events(response):
            if event:
                ids.append(event.id)
            counts.append(len(slots(api_env)))
    assert counts[0] == PRO
    assert ids[0] == 1
    assert len(slots(api_env)) == PRO - 1


def test_a_stream_whose_place_is_lost_ends(api_env: ApiEnv, open_run: str) -> None:
    with api_env.chat_as().stream("GET", f"/v1/runs/{open_run}/events") as response:
        events = read_events(response)
        assert next(events)
        occupy(api_env, 0)
        api_env.tenant_env.clock.advance(LEASE_SECONDS)
        assert all(event is None or event.event not in {"end", "error"} for event in events)
    assert slots(api_env) == {}


def test_an_ended_run_needs_no_place(api_env: ApiEnv) -> None:
    run_id = say(api_env.chat_as(), "Hi").json()["run_id"]
    occupy(api_env, PRO)
    assert ask(api_env, run_id).status_code == 200
    assert ask(api_env, run_id, JSON, wait=20).json()["ended"] is True
    assert ask(api_env, run_id, after=1_000).status_code == 204
    assert len(slots(api_env)) == PRO


def test_another_tenants_run_is_404_and_takes_no_place(api_env: ApiEnv, open_run: str) -> None:
    other = api_env.chat_as(tenant_fields(tenant_id=OTHER_TENANT_ID)).get(f"/v1/runs/{open_run}/events")
    assert other.status_code == 404
    assert slots(api_env) == {}
