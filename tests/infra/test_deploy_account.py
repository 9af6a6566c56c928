"""The deploy command finds the region, credentials and parameters, or reports in one line which of them is missing."""

from pathlib import Path

import pytest
from moto import mock_aws

from infra.deploy.account import AccountUnreachable, find_region, open_account
from infra.deploy.configuration import Configuration, ConfigurationInvalid, check_parameters, read_configuration
from infra.runtime.template import Document

REGION = "eu-west-1"


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("PATH", str(tmp_path))


def write_profile(tmp_path: Path, text: str) -> None:
    (tmp_path / "config").write_text(text)
    (tmp_path / "credentials").write_text("[default]\naws_access_key_id = a\naws_secret_access_key = b\n")


@pytest.mark.parametrize(
    ("environment", "configured", "region"),
    [
        ({"AWS_REGION": "eu-north-1"}, None, "eu-north-1"),
        ({"AWS_DEFAULT_REGION": "eu-south-1"}, None, "eu-south-1"),
        ({"AWS_REGION": "eu-north-1", "AWS_DEFAULT_REGION": "eu-south-1"}, "eu-west-3", "eu-north-1"),
        ({}, "eu-west-3", "eu-west-3"),
        ({}, None, "eu-central-2"),
        ({"AWS_PROFILE": "other"}, None, "us-west-2"),
    ],
)
def test_the_region_is_found_where_the_aws_cli_finds_it(
    environment: dict[str, str],
    configured: str | None,
    region: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    write_profile(tmp_path, "[default]\nregion = eu-central-2\n[profile other]\nregion = us-west-2\n")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    assert find_region(configured) == region


def test_an_account_is_opened_with_a_profile(tmp_path: Path) -> None:
    write_profile(tmp_path, "[default]\nregion = eu-central-2\n")
    with mock_aws():
        account = open_account()

    assert (account.id, account.region, account.environment) == ("123456789012", "eu-central-2", {})
    assert account.client("lambda").meta.region_name == "eu-central-2"


def test_credentials_that_only_the_aws_cli_has_are_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cli = tmp_path / "aws"
    cli.write_text(
        '#!/bin/sh\necho \'{"Version": 1, "AccessKeyId": "k", "SecretAccessKey": "s", "SessionToken": "t"}\'\n'
    )
    cli.chmod(0o755)
    monkeypatch.setenv("AWS_REGION", REGION)
    monkeypatch.setattr("boto3.Session.get_credentials", lambda self: self._session.get_credentials() and None)
    with mock_aws():
        account = open_account()

    expected = {"AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s", "AWS_SESSION_TOKEN": "t"}
    assert account.environment == expected


@pytest.mark.parametrize(
    ("environment", "text"),
    [
        ({}, "no region: set AWS_REGION"),
        ({"AWS_REGION": REGION}, "no credentials: set AWS_PROFILE"),
        ({"AWS_REGION": REGION, "AWS_PROFILE": "gone"}, "The config profile (gone) could not be found"),
    ],
)
def test_reports_what_is_missing_in_one_line(
    environment: dict[str, str], text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    with pytest.raises(AccountUnreachable) as failure:
        open_account()

    assert text in str(failure.value)
    assert "\n" not in str(failure.value)


def write_samconfig(tmp_path: Path, overrides: str) -> Path:
    path = tmp_path / "samconfig.toml"
    path.write_text(f'[dev.deploy.parameters]\nstack_name = "mine"\nparameter_overrides = {overrides}\n')
    return path


@pytest.mark.parametrize(
    "overrides", ['["Environment=dev", "LogLevel=DEBUG"]', '{Environment="dev", LogLevel="DEBUG"}']
)
def test_every_parameter_is_given_and_overrides_win(template: Document, overrides: str, tmp_path: Path) -> None:
    """If a parameter were omitted, SAM would reuse its old value. A removed override would then remain in effect."""
    found = read_configuration("dev", template, write_samconfig(tmp_path, overrides))

    assert found.stack_name == "mine"
    assert found.parameters.keys() == template["Parameters"].keys()
    assert found.parameters["LogLevel"] == "DEBUG"
    assert found.parameters["ChatMemory"] == str(template["Parameters"]["ChatMemory"]["Default"])


def test_reports_an_unknown_environment(template: Document, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationInvalid, match=r"^ENV=test is unknown: samconfig\.toml has dev$"):
        read_configuration("test", template, write_samconfig(tmp_path, "[]"))


@pytest.mark.parametrize("overrides", ['"Environment=dev"', "[1]", '["Environment"]'])
def test_reports_overrides_in_another_format(template: Document, overrides: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationInvalid, match="parameter_overrides must be a table or a list"):
        read_configuration("dev", template, write_samconfig(tmp_path, overrides))


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("LogLevl", "INFO", "LogLevl is not a parameter of template.yaml"),
        ("LogLevel", "TRACE", "LogLevel=TRACE is not one of DEBUG, INFO"),
        ("PublicUrl", "api.example.com", "PublicUrl=api.example.com does not match"),
        ("ProtectData", "false", "ProtectData is set by make deploy"),
    ],
)
def test_reports_an_invalid_parameter(template: Document, name: str, value: str, text: str) -> None:
    (line,) = check_parameters(Configuration("dev", "atrium-dev", {name: value}, {}), template)

    assert line.startswith(text)


@pytest.mark.parametrize("environment", ["dev", "staging", "prod"])
def test_parameters_of_the_repository_are_valid(template: Document, environment: str) -> None:
    assert list(check_parameters(read_configuration(environment, template), template)) == []
