"""Examples of request parameters and bodies.

Each example works unchanged on a new local stack and uses the objects of `infra.local.seeds`.
`tests/e2e/test_examples.py` sends each example in the same way as the documentation page.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from atrium.llm.catalogue import DEFAULT_MODEL

from infra.local import seeds

type Document = dict[str, Any]

# Default values of path parameters. An operation's example may override them.
PATH = {
    "agent_id": seeds.AGENT,
    "client_id": seeds.CLIENT,
    "dataset_id": seeds.DATASET,
    "key_id": seeds.KEY,
    "policy_id": seeds.POLICY,
    "provider": "slack",
    "provider_id": seeds.PROVIDER,
    "run_id": seeds.RUN,
    "session_id": seeds.SESSION,
    "tenant_id": seeds.INITECH,
    "tool_id": seeds.TOOL,
    "rule_id": seeds.RULE,
    "prompt_id": seeds.PROMPT,
    "version": "1",
    "tool_call_id": "toolu_01A09q90qw90lq917835lq9",
    "user_id": seeds.GRACE,
}
# Operations without an example, with the reason.
WITHOUT = {
    "acceptInvitation": "a one-time token of `POST /v1/users` or `POST /v1/users/{user_id}/reset`",
    "refreshTokens": "a refresh token, which works once",
    "completeSignIn": "a `code` and a `state`, which work once",
    "completeConnection": "a `code` and a `state`, which work once",
    "getConnection": "a connection, which only a person can grant at the provider",
    "deleteConnection": "a connection, which only a person can grant at the provider",
    "deleteModelKey": "a model key, which its provider checks when it is set",
    "decideApproval": "a tool call that waits for approval, which only a run creates",
}


@dataclass(frozen=True, slots=True)
class Example:
    """An example request of the documentation page.

    If the request needs an access token, `login` is the email of the user who logs in.
    """

    body: Mapping[str, Any] | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)
    login: str | None = None


_PROOF = {"client_id": seeds.CLIENT, "client_secret": seeds.CLIENT_SECRET}

_PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR42mP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC"

EXAMPLES = {
    "chat": Example({"message": "What is 6*7?"}),
    "streamChat": Example(
        {
            "message": [
                {"type": "text", "text": "What is in this image?"},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": _PNG}},
            ]
        }
    ),
    "createCompletion": Example(
        {"model": DEFAULT_MODEL, "messages": [{"role": "user", "content": "Name three rivers of Portugal."}]}
    ),
    "createMessage": Example(
        {
            "model": DEFAULT_MODEL,
            "max_tokens": 200,
            "messages": [{"role": "user", "content": "Name three rivers of Portugal."}],
        }
    ),
    "countMessageTokens": Example(
        {"model": DEFAULT_MODEL, "messages": [{"role": "user", "content": "Name three rivers of Portugal."}]}
    ),
    "checkLimits": Example({"message": "What is 6*7?"}),
    "createSession": Example({"title": "Trip to Lisbon", "end_user": "customer-42", "metadata": {"ticket": "T-1001"}}),
    "updateSession": Example({"title": "Mental arithmetic"}),
    "deleteSession": Example(parameters={"session_id": seeds.SESSION_TO_DELETE}),
    "restoreSession": Example(parameters={"session_id": seeds.SESSION_TO_RESTORE}),
    "forkSession": Example({"title": "Arithmetic, second attempt"}),
    "writeFile": Example({"path": "notes/todo.txt", "content": "Answer the customer.\n"}),
    "readFile": Example(parameters={"path": seeds.FILE}),
    "deleteFile": Example(parameters={"path": seeds.FILE_TO_DELETE}),
    "setModelKey": Example({"key": "sk-a-key-of-your-own-account"}, {"provider": "openai"}),
    "createAgent": Example(
        {"name": "translator", "model": DEFAULT_MODEL, "system_prompt": "Translate what the user writes into English."}
    ),
    "updateAgent": Example({"description": "Answers questions about the product.", "max_iterations": 5}),
    "deleteAgent": Example(parameters={"agent_id": seeds.AGENT_TO_DELETE}),
    "createKey": Example({"name": "dashboard", "scopes": ["usage:read"], "limits": {"requests_per_day": 1000}}),
    "updateKey": Example({"name": "weekly reports"}),
    "rotateKey": Example({"grace_seconds": 3600}, {"key_id": seeds.KEY_TO_ROTATE}),
    "revokeKey": Example({"grace_seconds": 0}, {"key_id": seeds.KEY_TO_REVOKE}),
    "deleteKey": Example(parameters={"key_id": seeds.KEY_TO_DELETE}),
    "createUser": Example({"email": "mary@acme.example", "role": "user", "name": "Mary Jackson"}),
    "updateUser": Example({"name": "Grace B. Hopper", "preferences": {"length": "short"}}),
    "deleteUser": Example(parameters={"user_id": seeds.BOB}),
    "createClient": Example(
        {
            "name": "mobile app",
            "type": "public",
            "redirect_uris": ["https://app.acme.example/callback"],
            "grant_types": ["authorization_code", "refresh_token"],
        }
    ),
    "updateClient": Example({"name": "weekly reports"}),
    "rotateClient": Example({"grace_seconds": 3600}, {"client_id": seeds.CLIENT_TO_ROTATE}),
    "deleteClient": Example(parameters={"client_id": seeds.CLIENT_TO_DELETE}),
    "createDataset": Example(
        {
            "name": "customers",
            "description": "Our customers and their cities.",
            "format": "csv",
            "content": "name,city,since\nAda,Rome,2024-03-01\nBob,Oslo,2025-11-12\n",
        }
    ),
    "queryDatasets": Example(
        {"sql": "SELECT city, sum(amount) AS total FROM orders GROUP BY city ORDER BY total DESC"}
    ),
    "deleteDataset": Example(parameters={"dataset_id": seeds.DATASET_TO_DELETE}),
    "createPolicy": Example(
        {
            "name": "viewers change no agents",
            "effect": "deny",
            "principals": ["role:viewer"],
            "actions": ["execute"],
            "resources": ["route:POST /v1/agents"],
        }
    ),
    "updatePolicy": Example({"priority": 10}),
    "evaluatePolicies": Example({"principal": "role:viewer", "resource": "tool:calculator"}),
    "deletePolicy": Example(parameters={"policy_id": seeds.POLICY_TO_DELETE}),
    "createTool": Example(
        {
            "name": "weather",
            "description": "Return the weather forecast for a city.",
            "input_schema": {
                "type": "object",
                "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 1}},
                "required": ["city"],
            },
            "http": {
                "method": "GET",
                "url": "https://weather.acme.example/v1/{city}?days={days}",
                "headers": {"Authorization": "Bearer {{secret.WEATHER_KEY}}"},
            },
            "secrets": {"WEATHER_KEY": "the-key-of-the-weather-service"},
            "effect": "pure",
        }
    ),
    "updateTool": Example({"description": "Return the number of people who live in a city.", "timeout_seconds": 5}),
    "testTool": Example({"arguments": {"city": "Lisbon"}}),
    "deleteTool": Example(parameters={"tool_id": seeds.TOOL_TO_DELETE}),
    "createRoutingRule": Example(
        {
            "name": "mathematics",
            "priority": 20,
            "when": {
                "complexity": "high",
                "needs_code": False,
                "hours": {"from": "08:00", "to": "18:00", "time_zone": "Europe/Berlin"},
                "weekdays": ["mon", "tue", "wed", "thu", "fri"],
            },
            "models": [{"model": "claude-opus-5-5", "weight": 3}, {"model": "claude-sonnet-5-5", "weight": 1}],
        }
    ),
    "updateRoutingRule": Example({"priority": 30, "status": "disabled"}),
    "createPrompt": Example(
        {
            "name": "returns",
            "template": "You answer questions about returns of {{ company }}.\n"
            "{% for rule in rules %}\n- {{ rule }}\n{% endfor %}",
            "variables": [{"name": "rules", "type": "list", "required": True}],
        }
    ),
    "updatePrompt": Example({"description": "The desk for questions about orders."}),
    "deletePrompt": Example(parameters={"prompt_id": seeds.PROMPT_TO_DELETE}),
    "renderPromptVersion": Example({"values": {"topic": "orders"}}),
    "renderTemplate": Example({"template": "Hello, {{ user_name }}. Today is {{ date }}."}),
    "deleteRoutingRule": Example(parameters={"rule_id": seeds.RULE_TO_DELETE}),
    "createIdentityProvider": Example(
        {"type": "oidc", "issuer": "https://login.example.com", "audience": f"atrium-{seeds.ACME}"}
    ),
    "updateIdentityProvider": Example({"name": "company login"}),
    "deleteIdentityProvider": Example(parameters={"provider_id": seeds.PROVIDER_TO_DELETE}),
    "updateSettings": Example({"features": {"beta": True}}),
    "readUsage": Example(parameters={"group_by": "model"}),
    "logIn": Example({"email": seeds.ADA_EMAIL, "password": seeds.PASSWORD, "tenant": "acme"}),
    "logOut": Example({"all": True}, login=seeds.ADA_EMAIL),
    "changePassword": Example(
        {"old_password": seeds.PASSWORD, "new_password": "staple-battery-horse"}, login=seeds.LIN_EMAIL
    ),
    "listConnections": Example(login=seeds.ADA_EMAIL),
    "authorizeConnection": Example(login=seeds.ADA_EMAIL),
    "authorizeSignIn": Example(parameters={"tenant": "acme"}),
    "issueOauthTokens": Example({"grant_type": "client_credentials", **_PROOF}),
    "introspectOauthToken": Example({"token": "a-token-that-has-ended", **_PROOF}),
    "revokeOauthToken": Example({"token": "a-token-that-has-ended", **_PROOF}),
    "createTenant": Example(
        {
            "name": "umbrella",
            "plan": "starter",
            "admin": {"email": "admin@umbrella.example", "password": "a-long-first-password"},
        }
    ),
    "updateTenant": Example({"display_name": "Initech Limited"}),
    "suspendTenant": Example({"reason": "The invoice is overdue."}),
    "activateTenant": Example({"reason": "The invoice is paid."}),
    "replaceTenantLimits": Example({"requests_per_day": 5000, "cost_per_month": "25.00"}),
    "rebuildCounters": Example({}),
    "deleteTenant": Example(parameters={"tenant_id": seeds.HOOLI}),
}


def add_examples(document: Document) -> None:
    """Add the examples to the document's parameters and bodies, in place."""
    for item in document["paths"].values():
        for operation in item.values():
            _add(operation, EXAMPLES.get(operation["operationId"], Example()))


def find_without_example(document: Document) -> Iterator[str]:
    """Yield parameters and bodies without an example, and examples of operations or parameters that do not exist."""
    operations = {each["operationId"]: each for item in document["paths"].values() for each in item.values()}
    yield from (f"{name} is not an operation" for name in (EXAMPLES.keys() | WITHOUT.keys()) - operations.keys())
    for name, operation in operations.items():
        if name in WITHOUT:
            continue
        for content in operation.get("requestBody", {}).get("content", {}).values():
            if "example" not in content:
                yield f"body of {name}"
        places = {parameter["name"]: parameter for parameter in operation.get("parameters", ())}
        for place, parameter in places.items():
            if parameter.get("required") and "example" not in parameter:
                yield f"parameter {place} of {name}"
        for place in EXAMPLES.get(name, Example()).parameters.keys() - places.keys():
            yield f"{name} has no parameter {place}"


def _add(operation: Document, example: Example) -> None:
    reason = WITHOUT.get(operation["operationId"])
    if reason:
        operation["description"] += f" There is no example, because it needs {reason}."
        return
    if example.login:
        operation["x-example-login"] = example.login
    for parameter in operation.get("parameters", ()):
        fallback = PATH.get(parameter["name"]) if parameter["in"] == "path" else None
        value = example.parameters.get(parameter["name"], fallback)
        if value is not None:
            parameter["example"] = value
    for content in operation.get("requestBody", {}).get("content", {}).values():
        if example.body is not None:
            content["example"] = dict(example.body)
