"""Checks that a function's role may access exactly the secrets and the bucket that its environment variables name."""

from collections.abc import Iterator
from typing import Any

from infra.checks.policies import as_list, referred, statements
from infra.checks.routes import functions_of
from infra.runtime.template import Document

SECRET_TYPE = "AWS::SecretsManager::Secret"
BUCKET_TYPE = "AWS::S3::Bucket"
# DescribeSecret only shows whether the secret has a value.
OPEN_SECRET = frozenset({"secretsmanager:GetSecretValue", "secretsmanager:DescribeSecret"})


def check_access(template: Document) -> Iterator[str]:
    """Compare the secrets and the bucket in each function's environment variables with the policies of its role."""
    for function, properties in functions_of(template).items():
        role = template["Resources"].get(referred(properties.get("Role")), {}).get("Properties", {})
        variables = properties.get("Environment", {}).get("Variables", {})
        named = {referred(branch) for value in variables.values() for branch in _branches(value)}
        secrets = {name for name in named if _type(template, name) == SECRET_TYPE}
        opened = _opened(role)
        yield from (f"{function} names {name} but its role cannot read it" for name in sorted(secrets - opened))
        yield from (f"{function} may read {name} but does not name it" for name in sorted(opened - secrets))
        uses_bucket = any(_type(template, name) == BUCKET_TYPE for name in named)
        if uses_bucket != _reaches_blobs(role):
            yield f"{function}: BLOBS_BUCKET and the role's actions on S3 go together"


def _branches(value: Any) -> list[Any]:
    return list(value["Fn::If"][1:]) if isinstance(value, dict) and "Fn::If" in value else [value]


def _opened(role: Document) -> set[str]:
    return {
        referred(resource)
        for statement in statements(role)
        if OPEN_SECRET & set(as_list(statement.get("Action")))
        for resource in as_list(statement.get("Resource"))
    }


def _reaches_blobs(role: Document) -> bool:
    return any(
        str(action).startswith("s3:") for statement in statements(role) for action in as_list(statement.get("Action"))
    )


def _type(template: Document, logical_id: str) -> str:
    return str(template["Resources"].get(logical_id, {}).get("Type", ""))
