"""Before a build, `make deploy` finds errors that AWS would report later. It prints one line per problem."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from moto import mock_aws

from infra.deploy.account import Account
from infra.deploy.checks import Finding, check_account, find_status
from infra.deploy.configuration import Configuration
from infra.runtime.template import Document

REGION = "eu-west-1"
ROLE = "arn:aws:iam::123456789012:role/GatewayLogs"
STACK_ROLE = "arn:aws:iam::123456789012:role/atrium-prod-GatewayAccountRole-1"


@dataclass
class Aws:
    """An AWS account: IAM and STS on moto, and scripted responses for operations that moto lacks."""

    limit: int = 1_000
    unreserved: int = 1_000
    log_role: str = ""
    status: str | None = None
    reserved: dict[str, int] = field(default_factory=dict)
    denied: frozenset[str] = frozenset()

    def account(self) -> Account:
        session = boto3.Session(region_name=REGION)
        session.events.register("before-call", self._answer)
        return Account("123456789012", REGION, session)

    def _answer(self, model: Any, params: Mapping[str, Any], **_: object) -> Any:
        if model.name in self.denied:
            return _refuse("AccessDeniedException", "not authorized")
        match model.name:
            case "GetAccountSettings":
                limits = {"ConcurrentExecutions": self.limit, "UnreservedConcurrentExecutions": self.unreserved}
                return _reply({"AccountLimit": limits})
            case "GetAccount":
                return _reply({"cloudwatchRoleArn": self.log_role} if self.log_role else {})
            case "DescribeStacks":
                if self.status is None:
                    return _refuse("ValidationError", "Stack with id atrium-prod does not exist")
                return _reply({"Stacks": [{"StackName": "atrium-prod", "StackStatus": self.status}]})
            case "DescribeStackResource":
                return self._describe(params["body"]["LogicalResourceId"])
            case "GetFunctionConcurrency":
                name = params["url_path"].split("/")[3]
                return _reply({"ReservedConcurrentExecutions": self.reserved[name]})
        return None

    def _describe(self, logical_id: str) -> Any:
        physical = "atrium-prod-GatewayAccountRole-1" if logical_id == "GatewayAccountRole" else logical_id
        if logical_id != "GatewayAccountRole" and logical_id not in self.reserved:
            return _refuse("ValidationError", f"Resource {logical_id} does not exist for stack atrium-prod")
        return _reply({"StackResourceDetail": {"PhysicalResourceId": physical}})


def _reply(parsed: dict[str, Any]) -> Any:
    return SimpleNamespace(status_code=200), {**parsed, "ResponseMetadata": {}}


def _refuse(code: str, message: str) -> Any:
    return SimpleNamespace(status_code=400), {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {}}


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")


@pytest.fixture
def roles(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """IAM on moto, with the roles `ROLE` and `STACK_ROLE`."""
    with mock_aws():
        client = boto3.client("iam", region_name=REGION)
        for arn in (ROLE, STACK_ROLE):
            client.create_role(RoleName=arn.rpartition("/")[2], AssumeRolePolicyDocument="{}")
        yield


def configure(template: Document, environment: str = "prod", **overrides: str) -> Configuration:
    given = {"AlarmEmail": "on-call@example.com", **overrides}
    parameters = {name: str(item.get("Default", "")) for name, item in template["Parameters"].items()}
    return Configuration(environment, f"atrium-{environment}", given, parameters | given)


def check(aws: Aws, configuration: Configuration) -> list[Finding]:
    account = aws.account()
    return list(check_account(account, configuration, find_status(account, configuration.stack_name)))


RESERVING = {"AuthorizerConcurrency": "100", "IdentityConcurrency": "20", "ChatConcurrency": "500"}
FUNCTIONS = {"AuthorizerFunction": 100, "IdentityFunction": 20, "ChatFunction": 500}


@pytest.mark.usefixtures("roles")
@pytest.mark.parametrize(
    ("aws", "overrides"),
    [
        (Aws(), {}),
        (Aws(), RESERVING),
        (Aws(limit=100, unreserved=100), {}),
        (Aws(limit=720, unreserved=720), RESERVING),
        (Aws(limit=720, unreserved=100, status="UPDATE_COMPLETE", reserved=FUNCTIONS), RESERVING),
        (Aws(log_role=ROLE), {"GatewayLogRole": "existing"}),
        (Aws(log_role=STACK_ROLE, status="UPDATE_COMPLETE"), {}),
        (Aws(log_role="arn:aws:iam::123456789012:role/deleted"), {}),
        (Aws(status="REVIEW_IN_PROGRESS"), {}),
        (Aws(status="UPDATE_ROLLBACK_COMPLETE"), {}),
    ],
    ids=["new", "large", "small", "just enough", "its own", "existing", "own role", "deleted role", "review", "rolled"],
)
def test_finds_nothing_if_a_deployment_would_succeed(template: Document, aws: Aws, overrides: dict[str, str]) -> None:
    assert check(aws, configure(template, **overrides)) == []


@pytest.mark.usefixtures("roles")
@pytest.mark.parametrize(
    ("aws", "overrides", "text"),
    [
        (Aws(limit=719, unreserved=719), RESERVING, "reserve 620 concurrent executions and 619 can be reserved"),
        (Aws(limit=10, unreserved=10), {"ChatConcurrency": "5"}, "or lower ChatConcurrency"),
        (Aws(limit=1_000, unreserved=300), {"ChatConcurrency": "201"}, "200 can be reserved"),
        (Aws(log_role=ROLE), {}, "set GatewayLogRole=existing"),
        (Aws(log_role=ROLE, status="UPDATE_COMPLETE"), {}, "set GatewayLogRole=existing"),
        (Aws(), {"GatewayLogRole": "existing"}, "set it to create"),
        (
            Aws(log_role="arn:aws:iam::123456789012:role/deleted"),
            {"GatewayLogRole": "existing"},
            "API Gateway has no role for its logs",
        ),
        (Aws(status="ROLLBACK_COMPLETE"), {}, "aws cloudformation delete-stack --stack-name atrium-prod"),
        (Aws(status="UPDATE_ROLLBACK_FAILED"), {}, "continue-update-rollback"),
        (Aws(status="UPDATE_IN_PROGRESS"), {}, "wait until that has ended"),
    ],
)
def test_each_problem_is_one_line_that_says_what_to_do(
    template: Document, aws: Aws, overrides: dict[str, str], text: str
) -> None:
    blocking = [finding.text for finding in check(aws, configure(template, **overrides)) if finding.blocks]

    assert len(blocking) == 1
    assert text in blocking[0]
    assert "\n" not in blocking[0]


@pytest.mark.usefixtures("roles")
@pytest.mark.parametrize(
    ("aws", "overrides", "text"),
    [
        (Aws(limit=10, unreserved=10), {}, "limit is 10 concurrent executions"),
        (Aws(), {"AlarmEmail": ""}, "alarms notify no one"),
        (Aws(denied=frozenset({"GetAccountSettings"})), {}, "not checked, because GetAccountSettings is denied"),
        (Aws(denied=frozenset({"GetAccount"})), {}, "not checked, because GetAccount is denied"),
    ],
)
def test_a_note_does_not_stop_the_deployment(
    template: Document, aws: Aws, overrides: dict[str, str], text: str
) -> None:
    (found,) = check(aws, configure(template, **overrides))

    assert not found.blocks
    assert text in found.text


def test_only_dev_may_have_alarms_without_a_receiver(template: Document) -> None:
    with mock_aws():
        assert check(Aws(), configure(template, "dev", AlarmEmail="")) == []
