"""Calls are rejected if their limits cannot be counted.

Calls are admitted only if all their limits are per minute and the setting `minutes_open` is on.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from tests.builders.api_env import ApiEnv, assert_problem, read_events, say
from tests.builders.counters import counted, held
from tests.builders.wires import Send

pytestmark = pytest.mark.loopback

PATHS = ["/v1/chat", "/v1/chat/stream"]
NONE = dict.fromkeys(
    ("requests_per_minute", "tokens_per_minute", "requests_per_day", "sessions_per_day", "tokens_per_month"), -1
) | {"cost_per_month": -1, "concurrent_turns": -1}
CLOSED = {
    "cost_per_month": 10**12,
    "tokens_per_month": 10**9,
    "requests_per_day": 100,
    "sessions_per_day": 100,
    "concurrent_turns": 5,
}


def is_admission(arguments: dict[str, Any]) -> bool:
    return str(arguments.get("Key", {}).get("pk", {}).get("S", "")).endswith("#ADMISSION")


def throttled(operation: str, arguments: dict[str, Any], send: Send) -> Any:
    """Throttle all calls for the tenant's admission items. Calls for other items succeed."""
    if is_admission(arguments):
        raise ClientError({"Error": {"Code": "ThrottlingException", "Message": "too hot"}}, operation)
    return send()


def lose_the_first_reply() -> Callable[[str, dict[str, Any], Send], Any]:
    """Return a hook that applies the first write of an admission and then loses its reply."""
    lost = False

    def intercept(operation: str, arguments: dict[str, Any], send: Send) -> Any:
        nonlocal lost
        if lost or operation != "UpdateItem" or not is_admission(arguments):
            return send()
        lost = True
        send()
        raise EndpointConnectionError(endpoint_url="https://the.service")

    return intercept


def open_minutes(api_env: ApiEnv) -> None:
    settings = replace(api_env.runtime.settings, minutes_open=True)
    object.__setattr__(api_env.runtime, "settings", settings)


def assert_nothing(api_env: ApiEnv) -> None:
    """Assert that no model was called and that the call left no slot or record."""
    tenant_env = api_env.tenant_env
    assert (api_env.server.requests(), tenant_env.items("SESSION#"), tenant_env.items("LEDGER#"), held(tenant_env)) == (
        [],
        [],
        [],
        [],
    )


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("name", CLOSED)
def test_rejects_other_limits_with_any_setting(api_env: ApiEnv, name: str, path: str) -> None:
    open_minutes(api_env)
    api_env.tenant_env.configure(limits={**NONE, "requests_per_minute": 10, name: CLOSED[name]})
    client = api_env.chat_as()
    with api_env.tenant_env.intercepted(throttled):
        response = client.post(path, json={"message": "Hi"})
    assert assert_problem(response, 503, "UNAVAILABLE")["retryable"] is True
    assert (response.headers["retry-after"], "x-atrium-degraded" in response.headers) == ("2", False)
    assert_nothing(api_env)
    answer = say(client, "Hi")
    assert (answer.status_code, "x-atrium-degraded" in answer.headers) == (200, False)
    assert counted(api_env.tenant_env, "requests_per_minute") == 1


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("limits", [{"requests_per_minute": 1}, {"tokens_per_minute": 20_000}])
def test_rejects_minute_limits_by_default(api_env: ApiEnv, limits: dict[str, int], path: str) -> None:
    api_env.tenant_env.configure(limits=NONE | limits)
    with api_env.tenant_env.intercepted(throttled):
        response = api_env.chat_as().post(path, json={"message": "Hi"})
    assert_problem(response, 503, "UNAVAILABLE")
    assert response.headers["retry-after"] == "2"
    assert_nothing(api_env)


@pytest.mark.parametrize("limits", [{"requests_per_minute": 1}, {"tokens_per_minute": 20_000}])
def test_admits_and_logs_minute_limits_if_configured(api_env: ApiEnv, limits: dict[str, int]) -> None:
    open_minutes(api_env)
    api_env.tenant_env.configure(limits=NONE | limits)
    client = api_env.chat_as()
    with api_env.tenant_env.intercepted(throttled):
        answer = say(client, "Hi [[echo]]")
        with client.stream("POST", "/v1/chat/stream", json={"message": "Hi [[echo]]"}) as response:
            events = [event for event in read_events(response) if event]
    assert (answer.status_code, answer.headers["x-atrium-degraded"]) == (200, "limits")
    assert (response.status_code, response.headers["x-atrium-degraded"]) == (200, "limits")
    assert (answer.json()["response"], events[-1].event) == ("Hi", "final")
    assert "ratelimit" not in answer.headers, "the state of the limits is unknown"
    assert len(api_env.tenant_env.items("LEDGER#")) == 2, "what was used is paid for"
    assert (held(api_env.tenant_env), counted(api_env.tenant_env, "requests_per_minute")) == ([], 0)
    counting = say(client, "Hi")
    assert (counting.status_code, "x-atrium-degraded" in counting.headers) == (200, False)


@pytest.mark.parametrize("path", PATHS)
def test_undoes_a_write_whose_reply_was_lost(api_env: ApiEnv, path: str) -> None:
    client = api_env.chat_as()
    with api_env.tenant_env.intercepted(lose_the_first_reply()):
        response = client.post(path, json={"message": "Hi"})
    assert_problem(response, 503, "UNAVAILABLE")
    assert_nothing(api_env)
    for name in ("requests_per_day", "sessions_per_day", "tokens_per_month", "cost_per_month", "tokens_per_minute"):
        assert counted(api_env.tenant_env, name) == 0
