"""If a credential cannot be checked, access is denied with an error other than Unauthorized. No result is cached."""

import json
from typing import Any

import pytest
from atrium.kernel.crypto import encode_base64url
from atrium.storage import keys
from atrium.storage.writes import EXISTS, Update

from functions.authorizer.app import AuthorizerFailed, answer
from tests.builders.authorizing import AuthorizerEnv, authorizer_event, bearer
from tests.builders.deployments import Deployment
from tests.builders.refusals import refusing

THROTTLES = [
    "ProvisionedThroughputExceededException",
    "ThrottlingException",
    "RequestLimitExceeded",
    "InternalServerError",
    "ServiceUnavailable",
]


def expect_503(authorizer_env: AuthorizerEnv, headers: dict[str, str]) -> None:
    with pytest.raises(AuthorizerFailed) as caught:
        authorizer_env.ask(headers)
    assert "Unauthorized" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("code", [*THROTTLES, "AccessDeniedException", "ResourceNotFoundException"])
def test_fails_if_the_table_fails(deployment: Deployment, authorizer_env: AuthorizerEnv, code: str) -> None:
    made = deployment.onboard()
    assert made.key
    assert made.admin
    credentials = [made.key.text, deployment.make_token(made.admin), deployment.make_platform_key()]
    for text in credentials:
        with refusing(deployment.table, "BatchGetItem", code):
            expect_503(authorizer_env, bearer(text))
        assert len(authorizer_env.authorizer.cache) == credentials.index(text)
        authorizer_env.context(bearer(text))


def test_cached_verdicts_survive_a_short_outage(deployment: Deployment, authorizer_env: AuthorizerEnv) -> None:
    made = deployment.onboard()
    assert made.key
    authorizer_env.context(bearer(made.key.text))
    with refusing(deployment.table, "BatchGetItem", "ThrottlingException") as refused:
        authorizer_env.context(bearer(made.key.text))
        assert refused == []
        deployment.clock.advance(30)
        expect_503(authorizer_env, bearer(made.key.text))


def test_fails_if_a_batch_stays_incomplete(deployment: Deployment, authorizer_env: AuthorizerEnv) -> None:
    made = deployment.onboard()
    assert made.key

    def leave(parsed: dict[str, Any], **_: object) -> None:
        name = deployment.table.name
        parsed["Responses"] = {name: []}
        key = {"pk": {"S": f"TENANT#{made.tenant.id}"}, "sk": {"S": "TENANT"}}
        parsed["UnprocessedKeys"] = {name: {"Keys": [key]}}

    deployment.table.client.meta.events.register("after-call.dynamodb.BatchGetItem", leave)
    expect_503(authorizer_env, bearer(made.key.text))


@pytest.mark.parametrize("name", ["pepper", "signing"])
@pytest.mark.parametrize("value", [None, "{}", "not json"])
def test_fails_if_a_secret_is_unusable(deployment: Deployment, name: str, value: str | None) -> None:
    made = deployment.onboard()
    assert made.key
    assert made.admin
    text = made.key.text if name == "pepper" else deployment.make_token(made.admin)
    arn = deployment.secrets_client.create_secret(Name=f"other/{name}")["ARN"]
    if value is not None:
        deployment.secrets_client.put_secret_value(SecretId=arn, SecretString=value)
    authorizer_env = AuthorizerEnv(deployment, **{f"{name.upper()}_SECRET_ARN": arn})
    expect_503(authorizer_env, bearer(text))


def test_a_pepper_that_came_after_this_container(deployment: Deployment, authorizer_env: AuthorizerEnv) -> None:
    made = deployment.onboard()
    assert made.key
    authorizer_env.context(bearer(made.key.text))
    secret = json.loads(deployment.secrets_client.get_secret_value(SecretId=deployment.arns.pepper)["SecretString"])
    secret = {"current": 2, "peppers": {**secret["peppers"], "2": encode_base64url(b"n" * 32)}}
    deployment.secrets_client.put_secret_value(SecretId=deployment.arns.pepper, SecretString=json.dumps(secret))
    newer = Deployment(deployment.table, deployment.secrets_client, deployment.arns, deployment.clock)
    issued = newer.make_key(made.tenant.id)
    assert issued.key.pepper_version == 2
    authorizer_env.context(bearer(issued.text))
    authorizer_env.context(bearer(made.key.text))


def test_fails_if_an_item_is_malformed(deployment: Deployment, authorizer_env: AuthorizerEnv) -> None:
    made = deployment.onboard()
    assert made.key
    deployment.runtime.tenant_table(made.tenant.id).write(Update(keys.tenant(), "REMOVE #plan", EXISTS))
    expect_503(authorizer_env, bearer(made.key.text))


def test_fails_on_an_invalid_event(deployment: Deployment, authorizer_env: AuthorizerEnv) -> None:
    made = deployment.onboard()
    assert made.key
    event = authorizer_event(bearer(made.key.text))
    for broken in ({**event, "methodArn": "nonsense"}, {name: event[name] for name in event if name != "methodArn"}):
        with pytest.raises(AuthorizerFailed):
            answer(broken, authorizer_env.authorizer)


def test_the_reason_is_in_the_log_and_the_credential_is_not(
    deployment: Deployment, authorizer_env: AuthorizerEnv, capsys: pytest.CaptureFixture[str]
) -> None:
    made = deployment.onboard()
    assert made.key
    with refusing(deployment.table, "BatchGetItem", "ThrottlingException"):
        expect_503(authorizer_env, bearer(made.key.text))
    said = capsys.readouterr().out
    assert "storage answered ThrottlingException" in said
    assert made.key.text[20:40] not in said
