"""HTTP tools that call an API with the access token of the caller's connection."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from atrium.identity.connections.store import ConnectionStore
from atrium.kernel.errors import ValidationFailed
from atrium.tenants.context import TenantContext
from atrium.tools.http.calling import make_tool
from atrium.tools.http.model import ToolDefinition
from atrium.tools.registry import ToolAnswer, ToolRegistry

from tests.builders.connections import CLIENT_SECRET, configure_client, connect
from tests.builders.http_tools import http_tools, request_to, tool_fields
from tests.builders.loops import tool_context
from tests.builders.tenant_env import ADMIN, OTHER_TENANT, TenantEnv, context_of
from tests.unit.egress.sites import Answer, Site, say

pytestmark = pytest.mark.loopback

USER = context_of("usr_01k6r5m2x8f3v9q4w7t1y0z5af")
TOKEN, NEW_TOKEN, REFRESH = "gho_planted-access-1", "gho_planted-access-2", "ghr_planted-refresh-1"
SKY = say(200, b'{"sky": "clear"}', content_type="application/json")


def tokens(access: str = NEW_TOKEN) -> Answer:
    """Return the provider's response to a refresh."""
    body = {"access_token": access, "refresh_token": "ghr_planted-refresh-2", "expires_in": 3_600}
    return say(200, json.dumps(body).encode(), content_type="application/json")


class Calls:
    """A server that is the API of a tool and the OAuth provider, and a tool with the connection `github`."""

    def __init__(self, tenant_env: TenantEnv, site: Site) -> None:
        self.tenant_env, self.site, self.service = tenant_env, site, http_tools(tenant_env)
        tenant_env.provider_url = f"http://127.0.0.1:{site.port}"
        self.clients, self.client = configure_client(tenant_env)

    def tool(self, **wishes: Any) -> ToolDefinition:
        url = f"http://127.0.0.1:{self.site.port}/repos/{{city}}"
        return self.service.create(tool_fields(url, connection="github", **wishes))

    def call(self, tool: ToolDefinition, caller: TenantContext = USER) -> ToolAnswer:
        context = tool_context(
            self.tenant_env.clock, tenant=caller.tenant_id, services=self.tenant_env.services(caller)
        )
        return ToolRegistry([make_tool(tool)]).call(tool.name, {"city": "Rome"}, context)


@pytest.fixture
def answers() -> list[Answer]:
    return [SKY]


@pytest.fixture
def calls(tenant_env: TenantEnv, answers: list[Answer]) -> Iterator[Calls]:
    with Site(answers).open() as site:
        yield Calls(tenant_env, site)


def test_sends_the_token_of_the_caller(calls: Calls) -> None:
    connect(calls.tenant_env, USER, access=TOKEN)
    connect(calls.tenant_env, ADMIN, access="another token")
    assert calls.call(calls.tool()) == ToolAnswer('{"sky":"clear"}', is_error=False)
    (request,) = calls.site.seen
    assert f"\r\nauthorization: Bearer {TOKEN}\r\n".encode() in request


@pytest.mark.parametrize("answers", [[tokens(), SKY, SKY]])
def test_refreshes_a_token_that_has_expired(calls: Calls) -> None:
    connect(calls.tenant_env, USER, access=TOKEN, refresh=REFRESH, seconds=30)
    tool = calls.tool()
    assert not calls.call(tool).is_error
    assert not calls.call(tool).is_error
    refresh, *requests = calls.site.seen
    assert refresh.startswith(b"POST /github/login/oauth/access_token ")
    assert f"refresh_token={REFRESH}&client_id=local-client&client_secret={CLIENT_SECRET}".encode() in refresh
    assert [f"Bearer {NEW_TOKEN}".encode() in request for request in requests] == [True, True]


@pytest.mark.parametrize(
    ("caller", "text"),
    [
        (USER, "The user has not connected an account at GitHub."),
        (context_of(), "The API key has not connected an account at GitHub."),
        (context_of("cli_01k6r5m2x8f3v9q4w7t1y0z5af"), "The OAuth client has not connected an account at GitHub."),
    ],
    ids=["user", "key", "client"],
)
def test_without_a_connection_nothing_is_called(calls: Calls, caller: TenantContext, text: str) -> None:
    connect(calls.tenant_env, ADMIN, access=TOKEN)
    connect(calls.tenant_env, USER, "google", access=TOKEN)
    configure_client(calls.tenant_env, context=context_of(USER.owner, tenant=OTHER_TENANT))
    connect(calls.tenant_env, context_of(caller.owner, tenant=OTHER_TENANT), access=TOKEN)
    connect_at = "Connect one with `GET /v1/connections/github/authorize`."
    assert calls.call(calls.tool(), caller) == ToolAnswer(f"Not called: {text} {connect_at}", is_error=True)
    assert not calls.site.seen


@pytest.mark.parametrize("use", ["disable", "delete"])
def test_a_provider_that_the_tenant_removed_is_not_used(calls: Calls, use: str) -> None:
    connect(calls.tenant_env, USER, access=TOKEN)
    tool = calls.tool()
    if use == "disable":
        calls.clients.change(calls.client, {"enabled": False})
    else:
        calls.clients.delete(calls.client)
    assert "this provider is not configured for the tenant" in calls.call(tool).text
    assert not calls.site.seen


@pytest.mark.parametrize(
    ("answers", "text", "status"),
    [
        ([say(400, b'{"error": "bad_refresh_token"}', content_type="application/json")], "connect again", "expired"),
        ([say(503)], "The OAuth provider failed", "active"),
        ([say(401, b'{"error": "invalid_client"}')], "The OAuth provider failed", "active"),
        ([say(400, b'{"error": ["invalid_grant"]}')], "The OAuth provider failed", "active"),
        ([say(200, f"{REFRESH} {CLIENT_SECRET}".encode())], "The OAuth provider failed", "active"),
    ],
)
def test_a_failed_refresh_is_told_to_the_model(calls: Calls, text: str, status: str) -> None:
    connect(calls.tenant_env, USER, access=TOKEN, refresh=REFRESH, seconds=30)
    answer = calls.call(calls.tool())
    assert text in answer.text
    assert "planted" not in answer.text
    assert answer.is_error
    assert len(calls.site.seen) == 1
    stored = ConnectionStore(calls.tenant_env.table()).get(USER.owner, "github")
    assert stored is not None
    assert (stored.status, stored.lease) == (status, "")


def test_a_token_that_cannot_be_refreshed_is_not_sent(calls: Calls) -> None:
    connect(calls.tenant_env, USER, access=TOKEN, seconds=30)
    assert "connect again" in calls.call(calls.tool()).text
    assert not calls.site.seen


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_does_not_get_the_token(tenant_env: TenantEnv, status: int) -> None:
    with Site([SKY]).open() as other, Site([say(status, location=f"http://127.0.0.1:{other.port}/")]).open() as site:
        calls = Calls(tenant_env, site)
        connect(tenant_env, USER, access=TOKEN)
        answer = calls.call(calls.tool())
    assert answer.text == f"The server answered with the status {status}. Redirects are not followed."
    assert len(site.seen) == 1
    assert not other.seen


@pytest.mark.parametrize("answers", [[say(401, f"bad token {TOKEN}".encode(), content_type="text/plain")]])
def test_a_token_that_the_server_returns_is_masked(calls: Calls) -> None:
    connect(calls.tenant_env, USER, access=TOKEN)
    assert calls.call(calls.tool()).text == "The server answered with the status 401. bad token [SECRET]"


@pytest.mark.parametrize(
    ("wishes", "field", "reason"),
    [
        ({"connection": "google"}, "connection", "configured and enabled"),
        ({"http": request_to("https://evil.example/")}, "http.url", "`api.github.com`"),
        ({"http": request_to("https://api.github.com.evil.example/")}, "http.url", "`api.github.com`"),
        ({"http": request_to("http://api.github.com/")}, "http.url", "scheme https"),
        (
            {"http": request_to("https://api.github.com/", headers={"AUTHORIZATION": "{{secret.KEY}}"})},
            "http.headers",
            "because `connection` sets it",
        ),
    ],
)
def test_rejects_definitions(calls: Calls, wishes: dict[str, Any], field: str, reason: str) -> None:
    fields = tool_fields("https://api.github.com/{city}", connection="github", secrets={"KEY": "a-secret-value"})
    tool = calls.service.create({**fields, "name": "valid"})
    attempts: list[Callable[[], object]] = [
        lambda: calls.service.create({**fields, **wishes}),
        lambda: calls.service.change(tool.id, {**wishes, "secrets": fields["secrets"]}),
    ]
    for define in attempts:
        with pytest.raises(ValidationFailed) as caught:
            define()
        errors: Any = caught.value.extensions["errors"]
        assert errors[0]["loc"][1:] == [field]
        assert reason in errors[0]["msg"]


def test_a_connection_can_be_removed_and_the_rest_changed_without_its_provider(calls: Calls) -> None:
    tool = calls.tool()
    calls.clients.change(calls.client, {"enabled": False})
    assert calls.service.change(tool.id, {"description": "D."}).connection == "github"
    assert calls.service.change(tool.id, {"connection": None}).connection is None
    with pytest.raises(ValidationFailed, match="enabled"):
        calls.service.change(tool.id, {"connection": "github"})
