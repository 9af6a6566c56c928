"""A newly deployed stack: outputs, empty secrets and an empty table."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from atrium.settings import Settings
from atrium.storage.secrets import Secrets
from atrium.storage.table import PhysicalTable

from infra.bootstrap.__main__ import main
from infra.bootstrap.credentials import SECRETS, SecretArns
from infra.runtime.resources import REGION
from tests.builders.deployments import create_secrets


@dataclass
class Stack:
    """The deployed stack, and a method that runs the bootstrap command for the stack."""

    arns: SecretArns
    table: PhysicalTable
    capture: pytest.CaptureFixture[str]
    lines: list[str] = field(default_factory=list)

    def run(self, *arguments: str) -> tuple[int, str]:
        """Run the bootstrap command. Return its exit status and stdout.

        `lines` then contains the lines that the command wrote to stderr.
        """
        status = main(["--env", "dev", "--region", REGION, *arguments])
        said = self.capture.readouterr()
        self.lines = said.err.splitlines()
        return status, said.out.strip()

    def secrets(self) -> Secrets:
        return Secrets(Settings.read(self.arns.environment()))


type Outputs = Mapping[str, str]
type Deploy = Callable[[str, Outputs], None]


@pytest.fixture
def deploy_stack(aws_secrets: None) -> Deploy:
    """Return a function that adds a stack with a name and outputs to moto's CloudFormation."""
    stacks: dict[str, Outputs] = {}

    def describe(params: Mapping[str, Any], **_: object) -> Any:
        name = params["body"]["StackName"]
        if name not in stacks:
            error = {"Code": "ValidationError", "Message": f"Stack with id {name} does not exist"}
            return SimpleNamespace(status_code=400), {"Error": error, "ResponseMetadata": {}}
        outputs = [{"OutputKey": key, "OutputValue": value} for key, value in stacks[name].items()]
        return SimpleNamespace(status_code=200), {"Stacks": [{"StackName": name, "Outputs": outputs}]}

    boto3.setup_default_session()
    assert boto3.DEFAULT_SESSION
    boto3.DEFAULT_SESSION.events.register("before-call.cloudformation.DescribeStacks", describe)
    return stacks.__setitem__


@pytest.fixture
def stack(
    physical_table: PhysicalTable,
    deploy_stack: Deploy,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Stack:
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", physical_table.client.meta.endpoint_url)
    _, arns = create_secrets()
    outputs = {
        "EnvironmentName": "dev",
        "TableName": physical_table.name,
        **{f"{name.title()}SecretArn": getattr(arns, name) for name in SECRETS},
    }
    deploy_stack("atrium-dev", outputs)
    return Stack(arns, physical_table, capsys)
