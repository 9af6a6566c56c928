"""`/v1/model-keys`: keys that the provider rejects or cannot check, invalid bodies, and concurrent changes."""

import logging
import threading
from collections.abc import Callable
from typing import Any

import httpx2
import pytest
from anthropic import Anthropic, DefaultHttpxClient
from atrium.llm.anthropic.provider import AnthropicProvider, Channel
from atrium.llm.connection import make_http_client
from atrium.settings import MODEL_VENDORS

from tests.builders.api_env import OWN, ApiEnv, assert_problem
from tests.builders.gateway import platform_fields
from tests.integration.tools_model_keys.conftest import KEY, OTHER_KEY, put_key

pytestmark = pytest.mark.loopback
WRONG = "sk-wrong-0123456789-abcd"
PATH = "/v1/model-keys/anthropic"


def set_over(
    api_env: ApiEnv, monkeypatch: pytest.MonkeyPatch, handler: Callable[[httpx2.Request], httpx2.Response]
) -> httpx2.Response:
    """Set a key at a provider that the handler plays, through the real SDK."""
    http = make_http_client(DefaultHttpxClient, httpx2.MockTransport(handler))

    def adapter(_vendor: str, api_key: Callable[[], str]) -> AnthropicProvider:
        client = Anthropic(api_key=api_key(), base_url="http://model.test", max_retries=0, http_client=http)
        return AnthropicProvider(Channel("anthropic", lambda: client, lambda model: model.id))

    monkeypatch.setattr(api_env.runtime.providers, "with_key", adapter)
    return api_env.tools_as().put(PATH, json={"key": KEY})


def nothing_is_stored(api_env: ApiEnv) -> bool:
    return api_env.tools_as().get("/v1/model-keys").json() == {"data": []} and not api_env.events("admin.change")


@pytest.mark.parametrize("provider", MODEL_VENDORS)
def test_422_for_a_key_that_the_provider_rejects(
    api_env: ApiEnv, provider: str, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.DEBUG):
        answer = api_env.tools_as().put(f"/v1/model-keys/{provider}", json={"key": WRONG})
    (error,) = assert_problem(answer, 422, "VALIDATION_FAILED")["errors"]
    assert error["loc"] == ["body", "key"]
    assert error["msg"] == f"was rejected by {provider} (status 401); send a valid API key"
    assert WRONG not in answer.text + caplog.text + "".join(capsys.readouterr())
    assert nothing_is_stored(api_env)


def test_an_invalid_key_does_not_replace_a_valid_one(api_env: ApiEnv) -> None:
    put_key(api_env)
    before = api_env.tools_as().get("/v1/model-keys").json()
    assert_problem(api_env.tools_as().put(PATH, json={"key": WRONG}), 422, "VALIDATION_FAILED")
    assert api_env.tools_as().get("/v1/model-keys").json() == before


def test_422_for_a_key_without_permission(api_env: ApiEnv, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = set_over(api_env, monkeypatch, lambda _request: httpx2.Response(403, json={"error": {"message": KEY}}))
    assert "(status 403)" in assert_problem(answer, 422, "VALIDATION_FAILED")["errors"][0]["msg"]
    assert KEY not in answer.text


@pytest.mark.parametrize("status", [302, 400, 404, 429, 500, 529])
def test_503_if_the_provider_cannot_check_the_key(
    api_env: ApiEnv, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    asked: list[httpx2.Request] = []

    def handle(request: httpx2.Request) -> httpx2.Response:
        asked.append(request)
        return httpx2.Response(status, text=KEY)

    answer = set_over(api_env, monkeypatch, handle)
    assert assert_problem(answer, 503, "MODEL_KEY_UNCHECKED")["retryable"] is True
    assert answer.headers["retry-after"] == "30"
    assert KEY not in answer.text
    assert [request.url.path for request in asked] == ["/v1/models"]
    assert nothing_is_stored(api_env)


def test_503_if_the_provider_cannot_be_reached(api_env: ApiEnv, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_request: httpx2.Request) -> httpx2.Response:
        raise httpx2.ConnectError("refused")

    assert_problem(set_over(api_env, monkeypatch, refuse), 503, "MODEL_KEY_UNCHECKED")
    assert nothing_is_stored(api_env)


def test_504_if_the_provider_does_not_answer_in_time(api_env: ApiEnv, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("atrium.llm.streaming.KEY_CHECK_SECONDS", 0.1)
    left = threading.Event()

    def hang(_request: httpx2.Request) -> httpx2.Response:
        left.wait(0.3)
        raise httpx2.ReadTimeout("silent")

    assert_problem(set_over(api_env, monkeypatch, hang), 504, "MODEL_TIMEOUT")
    assert nothing_is_stored(api_env)


def test_the_body_of_the_list_of_models_is_not_read(api_env: ApiEnv, monkeypatch: pytest.MonkeyPatch) -> None:
    class Unread(httpx2.SyncByteStream):
        def __iter__(self) -> Any:
            raise AssertionError("the body was read")

    assert set_over(api_env, monkeypatch, lambda _request: httpx2.Response(200, stream=Unread())).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"key": None},
        {"key": ""},
        {"key": "sk-short"},
        {"key": "sk-" + "x" * 498},
        {"key": "sk-with a space in the key"},
        {"key": "sk-with-a-line-break\r\nx-y: z"},
        {"key": "sk-schlüssel-0123456789"},
        {"key": KEY, "provider": "openai"},
    ],
)
def test_422_for_an_invalid_body(api_env: ApiEnv, body: dict[str, Any]) -> None:
    answer = api_env.tools_as().put(PATH, json=body)
    assert_problem(answer, 422, "VALIDATION_FAILED")
    assert "sk-" not in answer.text
    assert nothing_is_stored(api_env)


def test_404_for_an_unknown_provider(api_env: ApiEnv) -> None:
    client = api_env.tools_as()
    assert_problem(client.put("/v1/model-keys/acme", json={"key": KEY}), 404, "NOT_FOUND")
    assert_problem(client.delete("/v1/model-keys/acme"), 404, "NOT_FOUND")


def test_404_for_a_provider_without_a_key(api_env: ApiEnv) -> None:
    put_key(api_env, "openai")
    assert_problem(api_env.tools_as().delete(PATH), 404, "NOT_FOUND")


def test_403_without_admin(api_env: ApiEnv) -> None:
    client = api_env.tools_as(OWN)
    assert_problem(client.get("/v1/model-keys"), 403, "SCOPE_REQUIRED")
    assert_problem(client.put(PATH, json={"key": KEY}), 403, "SCOPE_REQUIRED")
    assert_problem(client.delete(PATH), 403, "SCOPE_REQUIRED")


def test_400_without_a_tenant(api_env: ApiEnv) -> None:
    assert_problem(api_env.tools_as(platform_fields()).get("/v1/model-keys"), 400, "TENANT_REQUIRED")


@pytest.mark.parametrize("is_set", [False, True])
def test_of_two_concurrent_sets_one_gets_409(api_env: ApiEnv, monkeypatch: pytest.MonkeyPatch, is_set: bool) -> None:
    """Set a key while the check of another key is running."""
    if is_set:
        put_key(api_env)
    with_key = api_env.runtime.providers.with_key

    def overtaken(vendor: str, api_key: Callable[[], str]) -> object:
        monkeypatch.setattr(api_env.runtime.providers, "with_key", with_key)
        put_key(api_env, key=OTHER_KEY)
        return with_key(vendor, api_key)

    monkeypatch.setattr(api_env.runtime.providers, "with_key", overtaken)
    assert_problem(api_env.tools_as().put(PATH, json={"key": KEY}), 409, "CONFLICT")
    (kept,) = api_env.tools_as().get("/v1/model-keys").json()["data"]
    assert kept["prefix"] == "sk-anot…wxyz"


def test_a_deleted_tenant_gets_no_key(api_env: ApiEnv) -> None:
    api_env.tenant_env.configure(status="deleted")
    assert_problem(api_env.tools_as().put(PATH, json={"key": KEY}), 404, "NOT_FOUND")
    assert not api_env.events("admin.change")
