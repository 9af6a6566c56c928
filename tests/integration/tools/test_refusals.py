"""`/v1/tools`: requests that are rejected."""

from typing import Any

import pytest

from tests.builders.api_env import ApiEnv
from tests.builders.http_tools import SECRET
from tests.integration.tools.test_200 import body_of, create, make_agent

pytestmark = pytest.mark.loopback


@pytest.mark.parametrize(
    ("wishes", "location"),
    [
        ({"name": "a b"}, ["body", "name"]),
        ({"name": "web_fetch"}, ["body", "name"]),
        ({"secrets": {"KEY": "short"}}, ["body", "secrets", "KEY"]),
        ({"secrets": {"KEY": "two\nlines of text"}}, ["body", "secrets", "KEY"]),
        ({"secrets": {}}, ["body", "secrets"]),
        ({"timeout_seconds": 21}, ["body", "timeout_seconds"]),
        ({"effect": "none"}, ["body", "effect"]),
        ({"http": {"method": "GET", "url": "https://{city}.example/"}}, ["body", "http.url"]),
        ({"input_schema": {"type": "object", "$ref": "https://evil.example/"}}, ["body", "input_schema"]),
        ({"calls_per_minute": 1}, ["body", "calls_per_minute"]),
        ({"connection": "unknown"}, ["body", "connection"]),
        ({"connection": "github"}, ["body", "connection"]),
    ],
)
def test_rejects_an_invalid_tool_without_its_secret(api_env: ApiEnv, wishes: Any, location: list[str]) -> None:
    answer = api_env.tools_as().post("/v1/tools", json=body_of(**wishes))
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["loc"] == location
    assert SECRET not in answer.text
    assert "two" not in answer.text


def test_a_tool_that_an_agent_has_cannot_be_deleted(api_env: ApiEnv) -> None:
    made = create(api_env)
    make_agent(api_env)
    answer = api_env.tools_as().delete(f"/v1/tools/{made['id']}")
    assert answer.status_code == 409
    assert "reporter" in answer.json()["detail"]
    assert api_env.tools_as().post("/v1/tools", json=body_of()).status_code == 409
