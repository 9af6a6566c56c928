"""The command `make deploy`: the calls to SAM CLI, their order, and the cases in which SAM CLI is not called."""

import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import pytest

from infra.deploy import __main__ as command
from infra.deploy.account import Account
from infra.deploy.checks import Finding
from infra.deploy.configuration import read_configuration
from infra.deploy.sam import deploy_command, release_digest
from infra.runtime.template import Document


@dataclass
class Calls:
    """The executed commands. `statuses` contains the exit statuses of SAM CLI in order."""

    statuses: list[int] = field(default_factory=list)
    sam: list[list[str]] = field(default_factory=list)
    made: list[list[str]] = field(default_factory=list)

    def run(self, arguments: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        if arguments[0] == "make":
            self.made.append(arguments)
            return subprocess.CompletedProcess(arguments, 0)
        assert options["env"]["AWS_DEFAULT_REGION"] == "eu-west-1"
        self.sam.append(arguments)
        return subprocess.CompletedProcess(arguments, self.statuses.pop(0) if self.statuses else 0)


type Deploy = Callable[..., int]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    made = Calls()
    monkeypatch.setattr(subprocess, "run", made.run)
    return made


@pytest.fixture
def deploy(monkeypatch: pytest.MonkeyPatch) -> Deploy:
    """A function that runs the command in an account whose stack has the given status."""

    def run(*arguments: str, status: str | None, findings: tuple[Finding, ...] = ()) -> int:
        account = Account("123456789012", "eu-west-1", boto3.Session(region_name="eu-west-1"))
        monkeypatch.setattr(command, "open_account", lambda *_: account)
        monkeypatch.setattr(command, "find_status", lambda *_: status)
        monkeypatch.setattr(command, "check_account", lambda *_: findings)
        return command.main(["--env", "prod", *arguments])

    return run


def test_a_first_deployment_creates_without_protection_and_then_protects(deploy: Deploy, calls: Calls) -> None:
    assert deploy(status=None) == 0

    create, protect = calls.sam
    assert "ProtectData=false" in create
    assert create[create.index("--on-failure") + 1] == "DELETE"
    assert "ProtectData=true" in protect
    assert "--on-failure" not in protect
    assert "--no-confirm-changeset" in protect


def test_both_steps_are_one_release(deploy: Deploy, calls: Calls) -> None:
    """If the releases differed, the second step would publish every function again."""
    deploy(status=None)

    create, protect = ({item for item in each if item.startswith("Release=")} for each in calls.sam)
    assert create == protect != set()


def test_a_create_that_fails_is_not_protected(deploy: Deploy, calls: Calls) -> None:
    calls.statuses = [3]

    assert deploy(status=None) == 3
    assert len(calls.sam) == 1


def test_reports_a_failed_protection(deploy: Deploy, calls: Calls, capsys: pytest.CaptureFixture[str]) -> None:
    calls.statuses = [0, 4]

    assert deploy(status=None) == 4
    assert "run make deploy again" in capsys.readouterr().err


def test_a_later_deployment_is_one_update_that_protects(deploy: Deploy, calls: Calls) -> None:
    """This also applies if the first deployment was interrupted between its two steps."""
    assert deploy(status="CREATE_COMPLETE") == 0

    (update,) = calls.sam
    assert "ProtectData=true" in update
    assert "--on-failure" not in update


def test_a_problem_stops_before_anything_is_built(
    deploy: Deploy, calls: Calls, capsys: pytest.CaptureFixture[str]
) -> None:
    findings = (Finding("one"), Finding("two"), Finding("three", blocks=False))

    assert deploy(status=None, findings=findings) == 1
    assert (calls.made, calls.sam) == ([], [])
    assert capsys.readouterr().err.splitlines() == ["deploy: one", "deploy: two", "deploy: note: three"]


def test_check_deploys_nothing(deploy: Deploy, calls: Calls) -> None:
    assert deploy("--check", status=None) == 0
    assert (calls.made, calls.sam) == ([], [])


@pytest.mark.parametrize("terminal", [True, False])
@pytest.mark.parametrize("ci", ["", "true"])
def test_asks_nothing_without_a_terminal(
    deploy: Deploy, calls: Calls, monkeypatch: pytest.MonkeyPatch, terminal: bool, ci: str
) -> None:
    """By default, samconfig.toml makes SAM ask for confirmation before it changes the prod stack."""
    monkeypatch.setenv("CI", ci)
    monkeypatch.setattr("sys.stdin.isatty", lambda: terminal, raising=False)

    deploy(status="UPDATE_COMPLETE")

    asks = "--no-confirm-changeset" not in calls.sam[0]
    assert asks is (terminal and not ci)


def test_an_unknown_environment_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--env", "test"]) == 1
    assert capsys.readouterr().err == "deploy: ENV=test is unknown: samconfig.toml has dev, staging, prod\n"


def test_every_parameter_reaches_sam_as_one_argument(template: Document) -> None:
    configuration = read_configuration("prod", template)

    arguments = deploy_command(configuration, "eu-west-1", "abc", creates=False, interactive=True)

    given = arguments[arguments.index("--parameter-overrides") + 1 :]
    names = [item.partition("=")[0] for item in given]
    assert sorted(names) == sorted(template["Parameters"])
    assert {'DomainName=""', "Environment=prod", "Release=abc"} <= set(given)


def test_the_release_digest_depends_on_code_and_parameters(tmp_path: Path) -> None:
    (tmp_path / "Chat").mkdir()
    (tmp_path / "Chat" / "app.py").write_text("one")
    first = release_digest({"LogLevel": "INFO", "ProtectData": "false"}, tmp_path)

    assert release_digest({"LogLevel": "INFO", "ProtectData": "true", "Release": first}, tmp_path) == first
    assert release_digest({"LogLevel": "DEBUG"}, tmp_path) != first
    (tmp_path / "Chat" / "app.py").write_text("two")
    assert release_digest({"LogLevel": "INFO"}, tmp_path) != first
