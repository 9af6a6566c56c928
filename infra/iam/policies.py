"""Reads the IAM policies in template.yaml, with `TenantSessions` enabled or disabled, for a policy evaluator."""

from collections.abc import Iterator
from typing import Any, get_args

from atrium.settings import SecretName

from infra.checks.policies import as_list
from infra.checks.routes import functions_of
from infra.runtime.template import PSEUDO, Document, Resolver, read_template

TABLE = f"arn:aws:dynamodb:{PSEUDO['AWS::Region']}:{PSEUDO['AWS::AccountId']}:table/atrium"
BUCKET = "arn:aws:s3:::atrium-blobs"
TENANT_ROLE = "TenantRole"

SECRET = f"arn:aws:secretsmanager:{PSEUDO['AWS::Region']}:{PSEUDO['AWS::AccountId']}:secret:atrium"

_SECRETS = {f"{'OAuth' if name == 'oauth' else name.title()}Secret": name for name in get_args(SecretName.__value__)}
_ATTRIBUTES = {"Table": {"Arn": TABLE}, "BlobsBucket": {"Arn": BUCKET}} | {
    logical_id: {"Ref": f"{SECRET}/{name}-000000"} for logical_id, name in _SECRETS.items()
}


def read_policies(*, sessions: bool) -> dict[str, Document]:
    """Return a policy document for each function role and for the tenant session role.

    A document contains only the role's statements about data and secrets. The keys are the names of function folders,
    and TENANT_ROLE. The functions in `functions/events` are not included.
    """
    template = read_template()
    resolver = Resolver(template, {"TenantSessions": "on" if sessions else "off"}, _ATTRIBUTES)
    roles = {
        str(properties["CodeUri"]).split("/")[1]: _role_of(resolver, properties)
        for properties in functions_of(template).values()
        if "events" not in str(properties["CodeUri"])
    }
    return {
        name: {"Version": "2012-10-17", "Statement": list(_statements(resolver, role))}
        for name, role in {**roles, TENANT_ROLE: TENANT_ROLE}.items()
    }


def granted(policy: Document) -> Iterator[tuple[str, str]]:
    """Yield the action and the resource of each permission in a policy."""
    for statement in policy["Statement"]:
        if statement["Effect"] == "Allow":
            for action in as_list(statement["Action"]):
                for resource in as_list(statement["Resource"]):
                    yield str(action), place_of(str(resource))


def place_of(resource: str) -> str:
    if resource.startswith(BUCKET):
        return "blobs" if "/" in resource else "bucket"
    if resource.startswith(SECRET):
        return f"secret/{resource.removeprefix(SECRET).strip('/').rpartition('-')[0]}"
    return resource.removeprefix(TABLE).removeprefix("/") or "table"


def _role_of(resolver: Resolver, properties: Document) -> str:
    return str(resolver.resolve(properties["Role"])).split(".")[0]


def _statements(resolver: Resolver, role: str) -> Iterator[Any]:
    for policy in resolver.resolve(resolver.template["Resources"][role]["Properties"]["Policies"]):
        for statement in policy["PolicyDocument"]["Statement"]:
            if {str(action).split(":")[0] for action in as_list(statement["Action"])} <= {
                "dynamodb",
                "s3",
                "secretsmanager",
            }:
                yield statement
