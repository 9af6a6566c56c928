"""The role of each function can read exactly the secrets that its code uses.

`make iam` compares READERS with recorded calls. If a role can read another secret, a test fails until READERS contains
the secret, with a comment that says why the function needs it.
"""

from typing import get_args

from atrium.settings import SecretName
from atrium.storage.secrets import PURPOSES

from infra.checks.access import SECRET_TYPE
from infra.checks.policies import as_list, referred, statements
from infra.checks.routes import functions_of
from infra.runtime.template import Document

READERS: dict[str, set[SecretName]] = {
    # Verifies access tokens and API keys.
    "AuthorizerFunction": {"signing", "pepper"},
    # Signs tokens, accepts one-time tokens and client secrets, creates and reads logins, and uses sign-in clients.
    "IdentityFunction": {"signing", "credential", "login", "cursor", "idempotency", "oauth"},
    # The functions that run turns call models and providers of web search. Tools refresh tokens of connections with the
    # platform's OAuth clients.
    "ChatFunction": {"cursor", "idempotency", "model", "oauth", "search"},
    "JobsWorkerFunction": {"model", "oauth", "search"},
    "SessionsFunction": {"cursor", "idempotency"},
    # Creates API keys, one-time tokens and client secrets.
    "AdminFunction": {"pepper", "credential", "cursor", "idempotency"},
    # Creates a tenant's first API key and rotates signing keys.
    "PlatformFunction": {"signing", "pepper", "cursor", "idempotency"},
    "ToolsFunction": {"cursor", "idempotency", "oauth"},
    "UsageFunction": {"cursor"},
}
WRITERS: dict[str, set[SecretName]] = {"PlatformFunction": {"signing"}}
# Secrets for which the function reads only whether they have a value.
DESCRIBERS: dict[str, set[SecretName]] = {
    "ConsoleFunction": {"signing", "pepper", "credential", "login", "cursor", "idempotency", "model"}
}


def granted(template: Document, action: str) -> dict[str, set[str]]:
    """Return, for each function, the secrets for which its role allows an action.

    The secret "*" represents a resource that is not a single secret.
    """
    found: dict[str, set[str]] = {}
    for function, properties in functions_of(template).items():
        role = template["Resources"][referred(properties["Role"])]["Properties"]
        for statement in statements(role):
            if statement["Effect"] == "Allow" and any(
                _covers(str(each), action) for each in as_list(statement["Action"])
            ):
                names = {_secret(template, resource) for resource in as_list(statement["Resource"])}
                found[function] = found.get(function, set()) | names
    return found


def _covers(granted: str, action: str) -> bool:
    return granted == action or (granted.endswith("*") and action.startswith(granted[:-1]))


def _secret(template: Document, resource: object) -> str:
    logical_id = referred(resource)
    is_secret = template["Resources"].get(logical_id, {}).get("Type") == SECRET_TYPE
    return logical_id.removesuffix("Secret").lower() if is_secret else "*"


def test_each_role_reads_exactly_the_secrets_of_its_function(template: Document) -> None:
    assert granted(template, "secretsmanager:GetSecretValue") == READERS


def test_nothing_else_can_be_done_with_a_secret(template: Document) -> None:
    assert granted(template, "secretsmanager:PutSecretValue") == WRITERS
    assert granted(template, "secretsmanager:DescribeSecret") == DESCRIBERS
    actions = {
        str(action)
        for function in functions_of(template).values()
        for statement in statements(template["Resources"][referred(function["Role"])]["Properties"])
        for action in as_list(statement["Action"])
        if str(action).split(":")[0] in {"secretsmanager", "*"}
    }
    assert actions == {f"secretsmanager:{name}" for name in ("GetSecretValue", "PutSecretValue", "DescribeSecret")}


def test_every_secret_has_a_reader(template: Document) -> None:
    secrets = {
        logical_id.removesuffix("Secret").lower()
        for logical_id, resource in template["Resources"].items()
        if resource["Type"] == SECRET_TYPE
    }
    assert secrets == set(get_args(SecretName.__value__)) == {name for names in READERS.values() for name in names}


def test_purposes_share_a_secret_only_where_the_same_functions_need_it() -> None:
    """If two versioned secrets had the same readers, one secret for both purposes would be enough."""
    readers = {name: frozenset(each for each, names in READERS.items() if name in names) for name in PURPOSES}
    assert len(set(readers.values())) == len(readers)
    assert readers["login"] == {"IdentityFunction"}
