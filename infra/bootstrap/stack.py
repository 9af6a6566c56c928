"""Reads the outputs of a deployed stack and creates clients for its region."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import boto3
from atrium.settings import Environment
from atrium.storage.table import PhysicalTable
from botocore.exceptions import ClientError

from infra.bootstrap.credentials import BootstrapFailed, SecretArns
from infra.deploy.account import find_region

if TYPE_CHECKING:
    from types_boto3_cloudformation import CloudFormationClient
    from types_boto3_secretsmanager import SecretsManagerClient


@dataclass(frozen=True)
class DeployedStack:
    """A deployed stack.

    If `region` or `endpoint_url` is None, boto3 reads the value from the environment and the AWS profile.
    """

    name: str
    environment: Environment
    region: str | None = None
    endpoint_url: str | None = None

    @cached_property
    def outputs(self) -> dict[str, str]:
        """Return the stack's outputs by key.

        Raises BootstrapFailed if the stack does not exist or belongs to another environment.
        """
        client: CloudFormationClient = self._client("cloudformation")
        try:
            stacks = client.describe_stacks(StackName=self.name)["Stacks"]
        except ClientError as error:
            raise BootstrapFailed(f"{self.name}: {error.response['Error']['Message']}") from error
        found = {output["OutputKey"]: output["OutputValue"] for output in stacks[0].get("Outputs", [])}
        if found.get("EnvironmentName", self.environment) != self.environment:
            raise BootstrapFailed(f"{self.name} is deployed as {found['EnvironmentName']}, not {self.environment}")
        return found

    @property
    def arns(self) -> SecretArns:
        return SecretArns.from_outputs(self.outputs)

    @cached_property
    def secrets_client(self) -> SecretsManagerClient:
        client: SecretsManagerClient = self._client("secretsmanager")
        return client

    @cached_property
    def table(self) -> PhysicalTable:
        try:
            return PhysicalTable(self._client("dynamodb"), self.outputs["TableName"])
        except KeyError:
            raise BootstrapFailed(f"{self.name} has no output TableName: is it one of this template?") from None

    def _client(self, service: Any) -> Any:
        return boto3.client(service, region_name=self.region or find_region(), endpoint_url=self.endpoint_url)
