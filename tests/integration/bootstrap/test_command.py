"""`python -m infra.bootstrap` with a stack on moto."""

import io
import json

import boto3
import pytest
from atrium.identity.key_format import parse_key
from atrium.identity.keys.store import KeyStore
from atrium.kernel.errors import Unavailable
from atrium.kernel.pagination import PageRequest
from atrium.settings import MODEL_VENDORS
from atrium.storage.secrets import PURPOSES, Secrets
from atrium.storage.table import PlatformTable

from infra.bootstrap.__main__ import main
from infra.bootstrap.credentials import (
    BootstrapFailed,
    SecretArns,
    fill_secrets,
    make_first_platform_key,
    read_pepper,
)
from infra.bootstrap.stack import DeployedStack
from infra.runtime.resources import REGION
from tests.builders.runtimes import NOON
from tests.integration.bootstrap.conftest import Deploy, Stack


def read_values(secrets: Secrets) -> dict[str, bytes]:
    versioned: dict[str, bytes] = {name: secrets.read_versions(name)[0].value for name in PURPOSES}
    return {**versioned, "cursor": secrets.key("cursor"), "idempotency": secrets.key("idempotency")}


def platform_keys(stack: Stack) -> list[str]:
    return [key.id for key in KeyStore(PlatformTable(stack.table)).list(PageRequest()).items]


def test_the_first_run_fills_the_secrets_and_prints_a_key(stack: Stack) -> None:
    status, printed = stack.run()
    assert status == 0
    said = parse_key(printed, "dev")
    assert said
    assert said.tenant_id is None
    assert platform_keys(stack) == [said.key_id]
    assert stack.lines[0] == "filled: signing, pepper, credential, login, cursor, idempotency"
    secrets = stack.secrets()
    assert all(len(value) == 32 for value in read_values(secrets).values())
    assert len(set(read_values(secrets).values())) == 5
    assert len(secrets.signing_keys()) == 1
    with pytest.raises(Unavailable):
        secrets.model_api_key("anthropic")


def test_the_second_run_changes_nothing_and_says_how_to_make_another(stack: Stack) -> None:
    stack.run()
    before = stack.secrets()
    values = (read_values(before), before.signing_keys())
    status, printed = stack.run()
    assert (status, printed) == (0, "")
    assert stack.lines[0] == "the secrets have their values already"
    assert "--new-platform-key" in stack.lines[1]
    after = stack.secrets()
    assert (read_values(after), after.signing_keys()) == values
    assert len(platform_keys(stack)) == 1


def test_further_keys_are_listed_and_revoked(stack: Stack) -> None:
    _, first = stack.run()
    _, second = stack.run("--new-platform-key", "ci")
    said = parse_key(second, "dev")
    assert said
    assert len(platform_keys(stack)) == 2
    _, listed = stack.run("--list-platform-keys")
    assert [line.split()[2] for line in listed.splitlines()] == ["active", "active"]
    assert listed.splitlines()[0].endswith("bootstrap")
    assert first not in listed
    assert stack.run("--revoke-platform-key", said.key_id)[0] == 0
    _, listed = stack.run("--list-platform-keys")
    assert sorted(line.split()[2] for line in listed.splitlines()) == ["active", "revoked"]


@pytest.mark.parametrize("key_id", ["key_01k6r5m2x8f3v9q4w7t1y0z5ab", "nonsense", "KEYS"])
def test_an_unknown_key_is_not_revoked(stack: Stack, key_id: str) -> None:
    stack.run()
    assert stack.run("--revoke-platform-key", key_id) == (1, "")
    assert stack.lines == [f"bootstrap: platform key {key_id} not found"]


def test_reads_and_replaces_the_model_key(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    for value in ("sk-one", "sk-two"):
        monkeypatch.setattr("sys.stdin", io.StringIO(f"{value}\n"))
        assert stack.run("--anthropic-api-key-stdin")[0] == 0
        assert stack.secrets().model_api_key("anthropic") == value
        assert not any(value in line for line in stack.lines)
    monkeypatch.setattr("sys.stdin", io.StringIO("\n"))
    assert stack.run("--anthropic-api-key-stdin")[0] == 1
    assert stack.secrets().model_api_key("anthropic") == "sk-two"


def test_keeps_the_model_keys_of_other_vendors(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    for vendor in MODEL_VENDORS:
        monkeypatch.setattr("sys.stdin", io.StringIO(f"sk-{vendor}\n"))
        assert stack.run(f"--{vendor}-api-key-stdin")[0] == 0
    assert [stack.secrets().model_api_key(vendor) for vendor in MODEL_VENDORS] == [f"sk-{v}" for v in MODEL_VENDORS]


def test_writes_the_keys_of_search_providers_to_their_own_secret(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    for provider in ("brave", "tavily"):
        monkeypatch.setattr("sys.stdin", io.StringIO(f"key-{provider}\n"))
        assert stack.run(f"--{provider}-api-key-stdin")[0] == 0
    assert [stack.secrets().search_api_key(name) for name in ("brave", "tavily")] == ["key-brave", "key-tavily"]
    with pytest.raises(Unavailable):
        stack.secrets().model_api_key("anthropic")


def test_does_not_replace_a_model_secret_that_it_cannot_read(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    client = boto3.client("secretsmanager", region_name=REGION)
    client.put_secret_value(SecretId=stack.arns.model, SecretString="[1]")
    monkeypatch.setattr("sys.stdin", io.StringIO("sk-one\n"))
    assert stack.run("--openai-api-key-stdin") == (1, "")
    assert client.get_secret_value(SecretId=stack.arns.model)["SecretString"] == "[1]"


def test_never_replaces_an_existing_value(stack: Stack) -> None:
    client = boto3.client("secretsmanager", region_name=REGION)
    client.put_secret_value(SecretId=stack.arns.pepper, SecretString=json.dumps({"mine": 1}))
    assert stack.run() == (1, "")
    assert stack.lines[-1] == "bootstrap: the pepper secret has an invalid value; it was not changed"
    assert json.loads(client.get_secret_value(SecretId=stack.arns.pepper)["SecretString"]) == {"mine": 1}
    assert platform_keys(stack) == []


def test_reports_a_missing_stack(stack: Stack) -> None:
    assert stack.run("--stack-name", "nothing")[0] == 1
    assert len(stack.lines) == 1
    assert stack.lines[0].startswith("bootstrap: nothing: ")


def test_reports_a_stack_of_another_environment(stack: Stack, deploy_stack: Deploy) -> None:
    deploy_stack("shared", {"EnvironmentName": "prod"})
    assert stack.run("--stack-name", "shared") == (1, "")
    assert stack.lines == ["bootstrap: shared is deployed as prod, not dev"]


def test_reports_a_stack_of_another_template(stack: Stack, deploy_stack: Deploy) -> None:
    deploy_stack("other", {"EnvironmentName": "dev"})
    assert stack.run("--stack-name", "other") == (1, "")
    assert stack.lines == ["bootstrap: the stack has no output 'SigningSecretArn': is it one of this template?"]


@pytest.mark.parametrize(
    "arguments", [[], ["--env", "test"], ["--env", "dev", "--new-platform-key", "--list-platform-keys"]]
)
def test_rejects_invalid_arguments(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "usage:" in capsys.readouterr().err


def test_reports_an_unreachable_aws(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_DEFAULT_REGION", "AWS_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    assert main(["--env", "dev"]) == 1
    assert capsys.readouterr().err == "bootstrap: You must specify a region.\n"


def test_concurrent_runs_agree(stack: Stack) -> None:
    client = boto3.client("secretsmanager", region_name=REGION)
    arns = stack.arns
    seen: list[tuple[str, ...]] = []

    def overtake(**_: object) -> None:
        client.meta.events.unregister("before-call.secrets-manager.PutSecretValue", overtake)
        seen.append(fill_secrets(client, arns))

    client.meta.events.register("before-call.secrets-manager.PutSecretValue", overtake)
    late = fill_secrets(client, arns)
    assert seen == [("signing", "pepper", "credential", "login", "cursor", "idempotency")]
    assert late == ()
    pepper = read_pepper(client, arns)
    keys = [make_first_platform_key(stack.table, pepper, "dev", now=NOON) for _ in range(2)]
    assert [key is None for key in keys] == [False, True]


def test_reports_a_missing_secret(stack: Stack) -> None:
    client = boto3.client("secretsmanager", region_name=REGION)
    gone = SecretArns("arn:aws:secretsmanager:eu-central-1:123456789012:secret:gone", "", "", "", "", "")
    with pytest.raises(BootstrapFailed, match=r"the signing secret .* does not exist"):
        fill_secrets(client, gone)


def test_uses_the_region_of_aws_region(monkeypatch: pytest.MonkeyPatch) -> None:
    """The AWS CLI prefers `AWS_REGION` to `AWS_DEFAULT_REGION`. boto3 does not read `AWS_REGION`."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_REGION", REGION)

    assert DeployedStack("atrium-dev", "dev").secrets_client.meta.region_name == REGION
