"""Checks that each function has a separate role and log group. Roles may grant only named actions and resources."""

from collections import Counter
from collections.abc import Iterator
from itertools import chain
from typing import Any

from infra.checks.routes import functions_of
from infra.runtime.template import Document

# X-Ray actions do not support resource-level permissions.
ANYWHERE = frozenset({"xray:PutTraceSegments", "xray:PutTelemetryRecords"})
# Allowed wildcards: paths inside this stack's resources, and models that Bedrock routes between regions.
PARTS = frozenset(
    {
        "${BlobsBucket.Arn}/tenants/*",
        "${Table}/stream/*",
        "arn:${AWS::Partition}:bedrock:*::foundation-model/anthropic.*",
        "arn:${AWS::Partition}:bedrock:${AWS::Region}:${AWS::AccountId}:inference-profile/${BedrockGeography}.anthropic.*",
    }
)
# The two indexes that contain items of all tenants (ADR 0003), and the roles that may query them.
ACROSS_TENANTS = {"${Table}/index/login": "IdentityRole", "${Table}/index/sweep": "SweepRole"}
NEVER = ("dynamodb:Scan", "dynamodb:PartiQL", "dynamodb:ExecuteStatement")


def check_logs(template: Document) -> Iterator[str]:
    """Check that each function has a separate log group with a retention time."""
    groups: Counter[str] = Counter()
    for function, properties in functions_of(template).items():
        group = referred(properties.get("LoggingConfig", {}).get("LogGroup"))
        resource = template["Resources"].get(group, {})
        if resource.get("Type") != "AWS::Logs::LogGroup":
            yield f"{function} has no log group of its own"
            continue
        groups[group] += 1
        if not resource.get("Properties", {}).get("RetentionInDays"):
            yield f"{group} never deletes its logs: set RetentionInDays"
    yield from (f"{group} is shared by {count} functions" for group, count in groups.items() if count > 1)


def check_roles(template: Document) -> Iterator[str]:
    """Check that each function has a separate role, without managed policies and without undeclared wildcards."""
    roles: Counter[str] = Counter()
    for function, properties in functions_of(template).items():
        role = referred(properties.get("Role"))
        resource = template["Resources"].get(role, {})
        if resource.get("Type") != "AWS::IAM::Role":
            yield f"{function} has no role of its own: SAM's would write to every log group"
            continue
        roles[role] += 1
        if resource["Properties"].get("ManagedPolicyArns"):
            yield f"{role} has managed policies, which name no resource of ours"
        for statement in statements(resource["Properties"]):
            faults = chain(_faults(statement), _reaches_across(role, statement))
            yield from (f"{role}, {statement.get('Sid', 'no Sid')}: {text}" for text in faults)
    yield from (f"{role} is shared by {count} functions" for role, count in roles.items() if count > 1)


def statements(role: Document) -> Iterator[Document]:
    """Yield the statements of a role's inline policies, including both branches of conditional statements."""
    for policy in role.get("Policies", []):
        for statement in policy["PolicyDocument"]["Statement"]:
            branches = statement["Fn::If"][1:] if "Fn::If" in statement else [statement]
            yield from (branch for branch in branches if branch != {"Ref": "AWS::NoValue"})


def _faults(statement: Document) -> Iterator[str]:
    actions = [str(action) for action in as_list(statement.get("Action"))]
    if statement.get("Effect") != "Allow" or not actions:
        yield "only Allow with named actions is read here"
    for action in actions:
        if "*" in action or action.startswith(NEVER):
            yield f"{action} is too broad"
    for resource in as_list(statement.get("Resource")):
        text = _text(resource)
        if text == "*" and not set(actions) <= ANYWHERE:
            yield f"grants all resources for {', '.join(actions)}"
        elif text != "*" and "*" in text and text not in PARTS:
            yield f"{text} is a wildcard that is not declared in infra/checks/policies.py"


def _reaches_across(role: str, statement: Document) -> Iterator[str]:
    for resource in as_list(statement.get("Resource")):
        owner = ACROSS_TENANTS.get(_text(resource), role)
        if owner != role:
            yield f"{_text(resource)} crosses tenants and is reserved for {owner}"


def _text(resource: Any) -> str:
    """Return a resource as text: the string of `Fn::Sub`, or the name that another intrinsic function refers to."""
    if isinstance(resource, dict):
        text = resource.get("Fn::Sub") or referred(resource)
        return str(text[0] if isinstance(text, list) else text)
    return str(resource)


def referred(value: Any) -> str:
    """Return the logical id in `Ref` or `Fn::GetAtt`, or an empty string for other values."""
    if not isinstance(value, dict):
        return ""
    if "Ref" in value:
        return str(value["Ref"])
    found = value.get("Fn::GetAtt", "")
    return str(found[0] if isinstance(found, list) else found.split(".")[0])


def as_list(value: Any) -> list[Any]:
    """Return a list unchanged, a single value as a list with one item, and None as an empty list."""
    if value is None:
        return []
    return list(value) if isinstance(value, list) else [value]
