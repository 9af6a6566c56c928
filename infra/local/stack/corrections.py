"""Corrects differences between the emulator's CloudFormation and AWS CloudFormation that affect the code."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types_boto3_secretsmanager import SecretsManagerClient

    from infra.local.stack.deploy import Stack

_SECRET_TYPE = "AWS::SecretsManager::Secret"


def correct(stack: Stack) -> None:
    """Correct the differences in a deployed stack. Idempotent."""
    _empty_secrets(stack)


def _empty_secrets(stack: Stack) -> None:
    """Remove the empty value that the emulator gives to a secret without a value in the template.

    On AWS, such a secret has no version.
    """
    client: SecretsManagerClient = stack.endpoint.client("secretsmanager")
    for logical_id, resource in stack.resolver.template["Resources"].items():
        if resource["Type"] != _SECRET_TYPE or logical_id not in stack.physical_ids:
            continue
        secret_id = stack.physical_ids[logical_id]
        try:
            found = client.get_secret_value(SecretId=secret_id)
        except client.exceptions.ResourceNotFoundException:
            continue
        if not found.get("SecretString"):
            client.update_secret_version_stage(
                SecretId=secret_id, VersionStage="AWSCURRENT", RemoveFromVersionId=found["VersionId"]
            )
