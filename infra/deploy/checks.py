"""Checks the AWS account before the build, to find problems that would prevent the deployment.

A blocking finding stops the deployment. Other findings are only printed.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from infra.deploy.account import Account
from infra.deploy.configuration import Configuration

# The minimum of unreserved concurrency that AWS requires in an account.
UNRESERVED_MIN = 100
SMALL_ACCOUNT = 50
RESERVING = {
    "AuthorizerConcurrency": "AuthorizerFunction",
    "IdentityConcurrency": "IdentityFunction",
    "ChatConcurrency": "ChatFunction",
}
QUOTA = "quota L-B99A9384 of service lambda"
_FAILED_CREATES = frozenset({"ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED", "DELETE_FAILED"})
_DENIED = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"})


@dataclass(frozen=True)
class Finding:
    """A problem, described in one line. `blocks` is true if the problem prevents the deployment."""

    text: str
    blocks: bool = True


def find_status(account: Account, stack_name: str) -> str | None:
    """Return the status of a stack, or None if the stack does not exist.

    A deleted stack, or a stack that has only a change set for its creation, does not exist.
    """
    try:
        stacks = account.client("cloudformation").describe_stacks(StackName=stack_name)["Stacks"]
    except ClientError as error:
        if error.response["Error"]["Code"] == "ValidationError":
            return None
        raise
    status = str(stacks[0]["StackStatus"])
    return None if status in {"REVIEW_IN_PROGRESS", "DELETE_COMPLETE"} else status


def check_account(account: Account, configuration: Configuration, status: str | None) -> Iterator[Finding]:
    """Yield a finding for each problem of the account and of the stack's status."""
    yield from check_stack(configuration.stack_name, status)
    for check in (check_concurrency, check_log_role):
        try:
            yield from check(account, configuration, exists=status is not None)
        except ClientError as error:
            if error.response["Error"]["Code"] not in _DENIED:
                raise
            yield Finding(f"not checked, because {error.operation_name} is denied", blocks=False)
    if configuration.environment != "dev" and not any(
        configuration.parameters.get(name) for name in ("AlarmTopicArn", "AlarmEmail")
    ):
        yield Finding("alarms notify no one: set AlarmTopicArn or AlarmEmail", blocks=False)


def check_stack(stack_name: str, status: str | None) -> Iterator[Finding]:
    """Yield a finding if a stack with this status cannot be updated."""
    if status in _FAILED_CREATES:
        yield Finding(
            f"{stack_name} is {status}: delete it (aws cloudformation delete-stack --stack-name {stack_name})"
        )
    elif status == "UPDATE_ROLLBACK_FAILED":
        yield Finding(
            f"{stack_name} is {status}: aws cloudformation continue-update-rollback --stack-name {stack_name}"
        )
    elif status is not None and status.endswith("_IN_PROGRESS"):
        yield Finding(f"{stack_name} is {status}: wait until that has ended")


def check_concurrency(account: Account, configuration: Configuration, *, exists: bool) -> Iterator[Finding]:
    """Yield a finding if the parameters reserve too much concurrency, and one if the account's limit is small."""
    client = account.client("lambda")
    limits = client.get_account_settings()["AccountLimit"]
    limit = int(limits["ConcurrentExecutions"])
    wanted = sum(max(configuration.count(name), 0) for name in RESERVING)
    if wanted:
        held = _reserved_now(account, configuration.stack_name) if exists else 0
        possible = max(int(limits["UnreservedConcurrentExecutions"]) + held - UNRESERVED_MIN, 0)
        if wanted > possible:
            yield Finding(
                f"the parameters reserve {wanted} concurrent executions and {possible} can be reserved (the account's "
                f"limit is {limit}, {UNRESERVED_MIN} stay unreserved): request more ({QUOTA}), or lower "
                + ", ".join(name for name in RESERVING if configuration.count(name) > 0)
            )
    if limit <= SMALL_ACCOUNT:
        yield Finding(
            f"the account's limit is {limit} concurrent executions: request more ({QUOTA}); until then see "
            "“Small accounts” in infra/docs/deploy.md",
            blocks=False,
        )


def check_log_role(account: Account, configuration: Configuration, *, exists: bool) -> Iterator[Finding]:
    """Check `GatewayLogRole` against the role that API Gateway uses for logs in this account and region."""
    role_arn = str(account.client("apigateway").get_account().get("cloudwatchRoleArn") or "")
    name = role_arn.rpartition("/")[2]
    found = bool(name) and _role_exists(account, name)
    if configuration.parameters["GatewayLogRole"] == "existing":
        if not found:
            yield Finding("GatewayLogRole=existing, but API Gateway has no role for its logs here: set it to create")
    elif found and not (exists and _physical_id(account, configuration.stack_name, "GatewayAccountRole") == name):
        yield Finding(f"API Gateway logs through {role_arn} here, which other stacks use: set GatewayLogRole=existing")


def _reserved_now(account: Account, stack_name: str) -> int:
    """Return the total concurrency that is currently reserved for the stack's functions."""
    client = account.client("lambda")
    names = [_physical_id(account, stack_name, logical_id) for logical_id in RESERVING.values()]
    found = [client.get_function_concurrency(FunctionName=name) for name in names if name]
    return sum(int(answer.get("ReservedConcurrentExecutions", 0)) for answer in found)


def _physical_id(account: Account, stack_name: str, logical_id: str) -> str:
    """Return a resource's physical id, or an empty string if the stack has no such resource."""
    try:
        found: Any = account.client("cloudformation").describe_stack_resource(
            StackName=stack_name, LogicalResourceId=logical_id
        )
    except ClientError as error:
        if error.response["Error"]["Code"] == "ValidationError":
            return ""
        raise
    return str(found["StackResourceDetail"].get("PhysicalResourceId", ""))


def _role_exists(account: Account, name: str) -> bool:
    """Return whether a role exists. API Gateway's setting may name a deleted role."""
    client = account.client("iam")
    try:
        client.get_role(RoleName=name)
    except client.exceptions.NoSuchEntityException:
        return False
    return True
