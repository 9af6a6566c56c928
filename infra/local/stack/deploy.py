"""Deploys the template to the emulator. If the deployment fails, the reason is reported in one line."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from infra.local import StartFailed
from infra.local.paths import TEMPLATE
from infra.local.stack.package import CODE_BUCKET, package
from infra.local.stack.references import find_unresolved
from infra.runtime.resources import Endpoint
from infra.runtime.template import PSEUDO, Document, Resolver, TemplateInvalid, read_template

if TYPE_CHECKING:
    from collections.abc import Mapping

    from types_boto3_cloudformation import CloudFormationClient
    from types_boto3_cloudformation.type_defs import StackTypeDef

STACK_NAME = PSEUDO["AWS::StackName"]
DEPLOY_SECONDS_MAX = 120.0
_POLL_SECONDS = 0.1
_TEMPLATE_KEY = "template.json"
# In the processed template, the REST API refers to the ARNs of functions. No other ARN is used.
_FUNCTION_ARN = f"arn:aws:lambda:{PSEUDO['AWS::Region']}:{PSEUDO['AWS::AccountId']}:function:"


@dataclass(frozen=True)
class Stack:
    """A deployed stack. `resolver` contains the template after CloudFormation has processed it."""

    endpoint: Endpoint
    resolver: Resolver
    outputs: Mapping[str, str]
    physical_ids: Mapping[str, str]


def read_source() -> Document:
    """Return the parsed template.yaml. Raises StartFailed if it cannot be read."""
    try:
        return read_template(TEMPLATE)
    except TemplateInvalid as error:
        raise StartFailed(str(error)) from error


def deploy(template: Document, parameters: Mapping[str, str], endpoint: Endpoint) -> Stack:
    """Create the stack and wait until it is complete. Raises StartFailed with the reason for the first failure."""
    known = {name: value for name, value in parameters.items() if name in template.get("Parameters", {})}
    packaged = package(template, endpoint)
    endpoint.client("s3").put_object(Bucket=CODE_BUCKET, Key=_TEMPLATE_KEY, Body=json.dumps(packaged).encode())
    cloudformation: CloudFormationClient = endpoint.client("cloudformation")
    try:
        cloudformation.create_stack(
            StackName=STACK_NAME,
            TemplateURL=f"{endpoint.url}/{CODE_BUCKET}/{_TEMPLATE_KEY}",
            Parameters=[{"ParameterKey": name, "ParameterValue": value} for name, value in known.items()],
            Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
        )
        outputs = _wait(cloudformation)
    except ClientError as error:
        raise StartFailed(
            f"template.yaml cannot be deployed: {_one_line(error.response['Error']['Message'])}"
        ) from error
    physical_ids = _list_physical_ids(cloudformation)
    processed = cloudformation.get_template(StackName=STACK_NAME, TemplateStage="Processed")["TemplateBody"]
    document = json.loads(json.dumps(processed))
    if missing := find_unresolved(document):
        raise StartFailed(f"template.yaml has an unresolved reference: {missing}")
    attributes = {
        logical_id: {"Ref": physical_id, "Arn": _FUNCTION_ARN + physical_id}
        for logical_id, physical_id in physical_ids.items()
    }
    return Stack(endpoint, Resolver(document, known, attributes), outputs, physical_ids)


def _wait(cloudformation: CloudFormationClient) -> dict[str, str]:
    deadline = time.monotonic() + DEPLOY_SECONDS_MAX
    while time.monotonic() < deadline:
        stack = cloudformation.describe_stacks(StackName=STACK_NAME)["Stacks"][0]
        status = stack["StackStatus"]
        if status == "CREATE_COMPLETE":
            return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}
        if not status.endswith("_IN_PROGRESS") or status.startswith("ROLLBACK"):
            raise StartFailed(f"template.yaml cannot be deployed: {_read_reason(cloudformation, stack)}")
        time.sleep(_POLL_SECONDS)
    raise StartFailed(f"template.yaml was not deployed within {DEPLOY_SECONDS_MAX:.0f} s")


def _read_reason(cloudformation: CloudFormationClient, stack: StackTypeDef) -> str:
    """Return the reason why the first resource failed, or else the stack's status reason."""
    events = cloudformation.describe_stack_events(StackName=STACK_NAME)["StackEvents"]
    for event in sorted(events, key=lambda event: event["Timestamp"]):
        if event.get("ResourceStatus") == "CREATE_FAILED":
            return f"{event.get('LogicalResourceId')}: {_one_line(event.get('ResourceStatusReason', ''))}"
    return _one_line(stack.get("StackStatusReason", stack["StackStatus"]))


def _list_physical_ids(cloudformation: CloudFormationClient) -> dict[str, str]:
    pages = cloudformation.get_paginator("list_stack_resources").paginate(StackName=STACK_NAME)
    return {
        resource["LogicalResourceId"]: resource.get("PhysicalResourceId", "")
        for page in pages
        for resource in page["StackResourceSummaries"]
    }


def _one_line(text: str) -> str:
    return " ".join(text.split())
