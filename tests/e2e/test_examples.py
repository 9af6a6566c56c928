"""Every example of the OpenAPI document succeeds on a new stack, with the request that the documentation page sends."""

import json
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from infra.local import seeds
from infra.openapi.__main__ import TARGET
from infra.openapi.examples import WITHOUT
from tests.e2e.conftest import Stack

FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True)
class Sent:
    """The response to one example, and the statuses that the document lists for its operation."""

    name: str
    status: int
    documented: frozenset[int]
    body: str

    @property
    def failed(self) -> bool:
        return not (200 <= self.status < 400 and self.status in self.documented)


@pytest.mark.new_stack
def test_every_example_succeeds(request: pytest.FixtureRequest, stack: Stack) -> None:
    """Examples of deletions and of new names succeed only once, so the stack must be new."""
    if request.config.getoption("--stack"):
        pytest.skip("needs a new stack")
    document = json.loads(TARGET.read_text(encoding="utf-8"))
    with httpx.Client(base_url=stack.base_url, timeout=300, trust_env=False) as client:
        sent = [
            _send(client, stack, path, method, operation)
            for path, item in document["paths"].items()
            for method, operation in item.items()
            if operation["operationId"] not in WITHOUT
        ]
    failures = [each for each in sent if each.failed]
    assert len(sent) > 80
    assert not failures, "\n" + "\n".join(f"{each.name:24} {each.status} {each.body[:300]}" for each in failures)


def _send(client: httpx.Client, stack: Stack, path: str, method: str, operation: dict[str, Any]) -> Sent:
    query: dict[str, str] = {}
    for parameter in operation.get("parameters", ()):
        if "example" not in parameter:
            continue
        if parameter["in"] == "path":
            path = path.replace(f"{{{parameter['name']}}}", parameter["example"])
        else:
            query[parameter["name"]] = parameter["example"]
    body: dict[str, Any] = {}
    for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
        body = {"data" if media_type == FORM else "json": content["example"]}
    headers = _credential(client, stack, operation)
    answer = client.request(method.upper(), path, params=query, headers=headers, **body)
    documented = frozenset(int(status) for status in operation["responses"])
    return Sent(operation["operationId"], answer.status_code, documented, answer.text)


def _credential(client: httpx.Client, stack: Stack, operation: dict[str, Any]) -> dict[str, str]:
    """Return the headers with the credential that the operation requires.

    The credential is the platform's API key, the API key of a tenant, or the access token of a new login.
    """
    if "security" not in operation:
        return {}
    if "x-example-login" in operation:
        login = {"email": operation["x-example-login"], "password": seeds.PASSWORD, "tenant": "acme"}
        tokens = client.post("/v1/auth/login", json=login).json()
        return {"authorization": f"Bearer {tokens.get('access_token', tokens)}"}
    platform = operation["x-required-scope"] == "platform"
    return {"x-api-key": stack.description["platform_api_key"] if platform else stack.tenants["pro"].api_key}
