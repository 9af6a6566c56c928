"""`sessions_per_day` at `POST /v1/sessions` is counted exactly. A rejected call is not counted."""

from typing import Any

import pytest
from atrium.kernel.ids import KeyId
from atrium.quotas.limits import DEFINITIONS
from atrium.quotas.rebuild.service import Rebuilder
from atrium.storage import keys
from atrium.storage.keys import Key
from atrium.storage.writes import EXISTS, Update
from starlette.testclient import TestClient

from tests.builders.api_env import OTHER_TENANT, ApiEnv, assert_problem, say
from tests.builders.counters import counted
from tests.builders.tenant_env import OWNER
from tests.builders.wires import Outage, lose_replies

pytestmark = pytest.mark.loopback


def limit(api_env: ApiEnv, place: Key | None = None, **limits: int) -> None:
    write = Update(place or keys.tenant(), "SET #limits = :limits", EXISTS, {"limits": limits})
    api_env.tenant_env.table().write(write)


def begin(client: TestClient, key: str = "", **body: Any) -> Any:
    return client.post("/v1/sessions", json=body, headers={"idempotency-key": key} if key else {})


def used(api_env: ApiEnv) -> int:
    return counted(api_env.tenant_env, "sessions_per_day")


def heads(api_env: ApiEnv) -> int:
    return len([item for item in api_env.tenant_env.items("SESSION#") if item["sk"]["S"] == "HEAD"])


def test_a_days_sessions_with_and_without_a_turn(api_env: ApiEnv) -> None:
    limit(api_env, sessions_per_day=3)
    client = api_env.sessions_as()
    assert say(api_env.chat_as(), "Hi").status_code == 200
    made = begin(client, title="One")
    assert (made.status_code, made.json()["title"]) == (201, "One")
    assert made.headers["ratelimit"].startswith('"sessions_per_day";r=1;t=')
    assert '"sessions_per_day";q=3;w=86400' in made.headers["ratelimit-policy"]
    assert begin(client).status_code == 201
    before = api_env.tenant_env.items()
    refused = begin(client)
    problem = assert_problem(refused, 429, "QUOTA_EXCEEDED")
    assert (problem["limit"], problem["scope"], problem["used"], problem["max"]) == ("sessions_per_day", "tenant", 3, 3)
    assert 43_100 <= int(refused.headers["retry-after"]) <= 43_200
    assert '"sessions_per_day";r=0' in refused.headers["ratelimit"]
    assert (api_env.tenant_env.items(), used(api_env), heads(api_env)) == (before, 3, 3)
    assert assert_problem(say(api_env.chat_as(), "Hi"), 429, "QUOTA_EXCEEDED")["limit"] == "sessions_per_day"
    (event,) = api_env.events("quota.refuse")
    assert event.details["limit"] == "sessions_per_day"
    assert begin(api_env.sessions_as(OTHER_TENANT)).status_code == 201, "another tenant's limit is its own"


def test_forks_count_like_new_sessions(api_env: ApiEnv) -> None:
    limit(api_env, sessions_per_day=2, messages_per_session=2)
    client, chat = api_env.sessions_as(), api_env.chat_as()
    session_id = say(chat, "Hi").json()["session_id"]
    path = f"/v1/sessions/{session_id}/fork"
    first, again = (client.post(path, json={}, headers={"idempotency-key": "a"}) for _ in range(2))
    assert (first.status_code, again.json()) == (201, first.json())
    assert again.headers["idempotency-replayed"] == "true"
    assert first.headers["ratelimit"].startswith('"sessions_per_day";r=0')
    assert (used(api_env), heads(api_env)) == (2, 2)
    before = api_env.tenant_env.items()
    problem = assert_problem(client.post(path, json={}), 429, "QUOTA_EXCEEDED")
    assert (problem["limit"], problem["used"], problem["max"]) == ("sessions_per_day", 2, 2)
    assert (api_env.tenant_env.items(), used(api_env)) == (before, 2)
    assert say(chat, "Again", session_id=first.json()["id"]).status_code == 200
    full = assert_problem(say(chat, "Again", session_id=first.json()["id"]), 429, "QUOTA_EXCEEDED")
    assert (full["limit"], full["used"]) == ("messages_per_session", 2)
    api_env.tenant_env.clock.advance(2)
    assert Rebuilder(api_env.tenant_env.table(), api_env.tenant_env.clock).compare().counters == ()


def test_forks_are_exact_where_replies_are_lost(api_env: ApiEnv) -> None:
    limit(api_env, sessions_per_day=4)
    client = api_env.sessions_as()
    session_id = say(api_env.chat_as(), "Hi").json()["session_id"]
    with api_env.tenant_env.intercepted(lose_replies):
        answers = [client.post(f"/v1/sessions/{session_id}/fork", json={}).status_code for _ in range(5)]
    assert (answers, used(api_env), heads(api_env)) == ([201] * 3 + [429] * 2, 4, 4)


def test_a_key_that_repeats_counts_once_and_a_refusal_does_not_keep_it(api_env: ApiEnv) -> None:
    limit(api_env, sessions_per_day=1)
    client = api_env.sessions_as()
    first, again = begin(client, "a"), begin(client, "a")
    assert (first.json(), again.headers["idempotency-replayed"]) == (again.json(), "true")
    assert (used(api_env), heads(api_env)) == (1, 1)
    assert begin(client, "b").status_code == 429
    limit(api_env, sessions_per_day=2)
    assert begin(client, "b").status_code == 201
    assert used(api_env) == 2


def test_limits_of_the_caller_and_of_the_agent(api_env: ApiEnv) -> None:
    agent = api_env.admin_as().post("/v1/agents", json={"name": "second", "model": "claude-haiku-5-5"}).json()["id"]
    limit(api_env, keys.agent(agent), sessions_per_day=1)
    client = api_env.sessions_as()
    assert begin(client, agent_id=agent).status_code == 201
    assert begin(client, agent_id=agent).json()["scope"] == "agent"
    api_env.tenant_env.table().write(Update(keys.api_key(KeyId(OWNER)), "SET #limits = :limits", "", {"limits": {}}))
    limit(api_env, keys.api_key(KeyId(OWNER)), sessions_per_day=2)
    assert [begin(client).status_code for _ in range(3)] == [201, 201, 429]
    assert begin(client).json()["scope"] == "key"


def test_is_exact_where_replies_are_lost(api_env: ApiEnv) -> None:
    limit(api_env, sessions_per_day=7)
    client = api_env.sessions_as()
    with api_env.tenant_env.intercepted(lose_replies):
        answers = [begin(client).status_code for _ in range(9)]
    assert (answers, used(api_env), heads(api_env)) == ([201] * 7 + [429] * 2, 7, 7)


def test_counts_without_a_limit_so_that_a_later_one_knows_what_was_used(api_env: ApiEnv) -> None:
    limit(api_env, sessions_per_day=-1)
    with api_env.tenant_env.intercepted(lose_replies):
        assert begin(api_env.sessions_as()).status_code == 201
    assert (used(api_env), heads(api_env)) == (1, 1)
    limit(api_env, sessions_per_day=1)
    assert begin(api_env.sessions_as()).status_code == 429


def test_503_and_no_session_when_it_cannot_be_counted(api_env: ApiEnv) -> None:
    client = api_env.sessions_as()
    with api_env.tenant_env.intercepted(Outage(lambda _, operation: operation == "TransactWriteItems")):
        response = begin(client)
    assert_problem(response, 503, "UNAVAILABLE")
    assert int(response.headers["retry-after"]) >= 1
    assert (used(api_env), heads(api_env)) == (0, 0)


def test_a_rebuild_counts_what_began_with_a_turn_without_one_and_was_deleted(api_env: ApiEnv) -> None:
    limit(api_env, sessions_per_day=20)
    client, chat = api_env.sessions_as(), api_env.chat_as()
    begun = [begin(client).json()["id"] for _ in range(2)]
    spoken = say(chat, "[[tools_forever]] Go on.", limits={"max_iterations": 3}).json()["session_id"]
    assert say(chat, "In one that there is", session_id=spoken).status_code == 200
    for session_id in (begun[0], say(chat, "Hi").json()["session_id"]):
        assert client.delete(f"/v1/sessions/{session_id}").status_code == 204
    api_env.tenant_env.clock.advance(2)
    rebuilder = Rebuilder(api_env.tenant_env.table(), api_env.tenant_env.clock)
    assert (used(api_env), rebuilder.compare().counters) == (4, ())
    name = DEFINITIONS["sessions_per_day"].counter(int(api_env.tenant_env.clock().timestamp()))
    api_env.tenant_env.table().write(
        Update(keys.admission(""), "SET #name = :wrong", "", {"wrong": 17}, {"name": name})
    )
    (told,) = rebuilder.rebuild(api_env.tenant_env.clock().date(), "one").counters
    assert (told.limit, told.stored, told.expected, used(api_env)) == ("sessions_per_day", 17, 4, 4)
