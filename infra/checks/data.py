"""Checks that data stores are encrypted and are retained outside dev, and that the template has no secret values."""

from collections.abc import Iterator

from infra.runtime.template import Document, Resolver

KEPT = {"Fn::If": ["KeepsData", "Retain", "Delete"]}
# CloudFormation applies a new DeletionPolicy only together with another change of the resource.
MARK = {"Kept": {"Fn::If": ["KeepsData", "yes", "no"]}}
HOLD_DATA = frozenset(
    {
        "AWS::DynamoDB::Table",
        "AWS::KMS::Key",
        "AWS::S3::Bucket",
        "AWS::SQS::Queue",
        "AWS::SecretsManager::Secret",
    }
)


def check_retention(template: Document) -> Iterator[str]:
    """Check that, outside dev, data is retained if the stack is deleted or a resource is replaced.

    Data is retained only after the stack has been created successfully.
    """
    for logical_id, resource in template["Resources"].items():
        if resource.get("Type") in HOLD_DATA:
            for policy in ("DeletionPolicy", "UpdateReplacePolicy"):
                if resource.get(policy) != KEPT:
                    yield f"{logical_id}: {policy} must be !If [KeepsData, Retain, Delete]"
            if resource.get("Metadata") != MARK:
                yield f"{logical_id}: Metadata must change with KeepsData, or its DeletionPolicy never does"


def check_protection(template: Document) -> Iterator[str]:
    """Check the required properties of the data stores in prod, such as encryption and point-in-time recovery."""
    resolver = Resolver(template, {"Environment": "prod"})
    for logical_id, resource in template["Resources"].items():
        if resource.get("Type") not in HOLD_DATA:
            continue
        properties = resolver.resolve(resource.get("Properties", {}))
        for path, expected in _EXPECTED[resource["Type"]].items():
            if _at(properties, path) != expected:
                yield f"{logical_id}: {path} must be {expected}"
        if {"SecretString", "GenerateSecretString"} & properties.keys():
            yield f"{logical_id}: a secret is created empty, bootstrap fills it"


def _at(properties: Document, path: str) -> object:
    value: object = properties
    for step in path.split("."):
        if isinstance(value, list):
            value = value[0] if value else None
        value = value.get(step) if isinstance(value, dict) else None
    return value


_DATA_KEY = "DataKey.Arn"
_ENCRYPTION = "BucketEncryption.ServerSideEncryptionConfiguration.ServerSideEncryptionByDefault"
_EXPECTED: dict[str, dict[str, object]] = {
    "AWS::DynamoDB::Table": {
        "BillingMode": "PAY_PER_REQUEST",
        "DeletionProtectionEnabled": True,
        "PointInTimeRecoverySpecification.PointInTimeRecoveryEnabled": True,
        "SSESpecification.KMSMasterKeyId": _DATA_KEY,
        "StreamSpecification.StreamViewType": "NEW_AND_OLD_IMAGES",
        "TimeToLiveSpecification.AttributeName": "ttl",
    },
    "AWS::KMS::Key": {"EnableKeyRotation": True},
    "AWS::S3::Bucket": {
        f"{_ENCRYPTION}.KMSMasterKeyID": _DATA_KEY,
        "PublicAccessBlockConfiguration.RestrictPublicBuckets": True,
        "PublicAccessBlockConfiguration.BlockPublicPolicy": True,
        "VersioningConfiguration.Status": "Enabled",
    },
    "AWS::SQS::Queue": {"KmsMasterKeyId": _DATA_KEY},
    "AWS::SecretsManager::Secret": {"KmsKeyId": "SecretsKey.Arn"},
}
