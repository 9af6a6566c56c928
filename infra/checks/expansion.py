"""Checks the template after SAM's transform: `python -m infra.checks.expansion`.

The other checks of the template read its SAM properties. The checks in this module read the resources that
CloudFormation receives. The SAM translator is installed in .local/sam.
"""

import copy
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from infra.checks.report import report
from infra.checks.routes import EVENTS_MAX, PUBLIC, STREAMING_FUNCTION
from infra.runtime.template import ROOT, Document, TemplateInvalid, read_template

PYTHON = ROOT / ".local" / "sam" / "bin" / "python"
EXPAND_SECONDS = 60
# CloudFormation's limits.
TEMPLATE_BYTES_MAX = 1_000_000
RESOURCES_MAX = 500
INVOKERS = frozenset({"AWS::Lambda::EventSourceMapping", "AWS::Lambda::Permission", "AWS::Events::Rule"})
_PROGRAM = """
import json, sys
from types import SimpleNamespace
from samtranslator.translator.transform import transform
given = json.load(sys.stdin)
json.dump(transform(given["template"], given["parameters"], SimpleNamespace(load=dict)), sys.stdout)
"""


def expand(template: Document, python: Path = PYTHON, parameters: Mapping[str, str] | None = None) -> Document:
    """Return the template after SAM's transform. `python` is an interpreter that has SAM installed.

    Raises TemplateInvalid with a one-line message if SAM is not installed or rejects the template.
    """
    if not python.exists():
        raise TemplateInvalid("SAM CLI is not installed under .local/sam")
    packaged = copy.deepcopy(template)
    for resource in packaged["Resources"].values():
        for code in {"CodeUri", "ContentUri"} & resource.get("Properties", {}).keys():
            resource["Properties"][code] = "s3://bucket/key"
    done = subprocess.run(
        [str(python), "-c", _PROGRAM],
        input=json.dumps({"template": packaged, "parameters": dict(parameters or {})}),
        capture_output=True,
        text=True,
        timeout=EXPAND_SECONDS,
        env={"AWS_DEFAULT_REGION": "eu-central-1"},
        check=False,
    )
    if done.returncode != 0:
        raise TemplateInvalid(f"SAM refuses the template: {done.stderr.strip().splitlines()[-1]}")
    return dict(json.loads(done.stdout))


def check_expansion(expanded: Document) -> Iterator[str]:
    """Check the integrations, the security, the permissions and the size of an expanded template."""
    resources = expanded["Resources"]
    for path, item in _paths(resources).items():
        for method, operation in item.items():
            name = f"{method.upper()} {path}"
            yield from (f"{name} {text}" for text in _faults(method, path, operation))
    permissions = Counter(
        json.dumps(resource["Properties"]["FunctionName"])
        for resource in resources.values()
        if resource["Type"] == "AWS::Lambda::Permission"
    )
    for function, count in permissions.items():
        if count > EVENTS_MAX:
            yield f"{function} has {count} permissions, {EVENTS_MAX} at most"
    for name, resource in resources.items():
        if resource["Type"] in INVOKERS and "Alias" not in json.dumps(resource):
            yield f"{name} goes to $LATEST, not to the alias"
    if any("Alias" not in json.dumps(uri) for uri in _authorizer_uris(resources)):
        yield "the authorizer is $LATEST, not the alias"
    if len(resources) > RESOURCES_MAX:
        yield f"{len(resources)} resources, {RESOURCES_MAX} at most: nest a stack"
    if len(json.dumps(expanded)) > TEMPLATE_BYTES_MAX:
        yield f"the expanded template is over {TEMPLATE_BYTES_MAX} bytes: nest a stack"


def check_release(before: Document, after: Document) -> Iterator[str]:
    """Check that a new release publishes a new version of each function and deploys the version as a canary."""
    published = {name for name, item in before["Resources"].items() if item["Type"] == "AWS::Lambda::Version"}
    for name, item in after["Resources"].items():
        if item["Type"] == "AWS::Lambda::Function":
            versions = [other for other in after["Resources"] if other.startswith(f"{name}Version")]
            if not versions or published & set(versions):
                yield f"{name} has no new version in a new release"
            if f"{name}DeploymentGroup" not in after["Resources"]:
                yield f"{name} is released without canary"


def _paths(resources: Document) -> Document:
    apis = [item for item in resources.values() if item["Type"] == "AWS::ApiGateway::RestApi"]
    return dict(apis[0]["Properties"]["Body"]["paths"]) if apis else {}


def _authorizer_uris(resources: Document) -> Iterator[object]:
    for item in resources.values():
        if item["Type"] == "AWS::ApiGateway::RestApi":
            for scheme in item["Properties"]["Body"].get("securityDefinitions", {}).values():
                if "x-amazon-apigateway-authorizer" in scheme:
                    yield scheme["x-amazon-apigateway-authorizer"].get("authorizerUri")


def _faults(method: str, path: str, operation: Document) -> Iterator[str]:
    integration = operation["x-amazon-apigateway-integration"]
    security = operation.get("security", [])
    if method == "options":
        if integration["type"] != "mock" or security:
            yield "must be answered by the gateway, without authorizer"
        return
    if _is_open(security) != ((method.upper(), path) in PUBLIC):
        yield f"has the wrong security {security}"
    uri = json.dumps(integration["uri"])
    if "Alias" not in uri:
        yield "goes to $LATEST, not to the alias: canary and SnapStart do not hold for it"
    streams = "/response-streaming-invocations" in uri and integration.get("responseTransferMode") == "STREAM"
    if f"{STREAMING_FUNCTION}Alias" in uri:
        if not streams or integration.get("timeoutInMillis") != 900_000:
            yield "is not a streaming integration of 900 s"
    elif streams or "timeoutInMillis" in integration:
        yield "is a streaming integration of a buffered function"


def _is_open(security: list[dict[str, Any]]) -> bool:
    return all("NONE" in requirement for requirement in security)


def main() -> int:
    try:
        template = read_template()
        before = expand(template, parameters={"Release": "a" * 64})
        after = expand(template, parameters={"Release": "b" * 64, "Canary": "true"})
        return report("expansion", chain(check_expansion(after), check_release(before, after)))
    except TemplateInvalid as error:
        return report("expansion", [str(error)])


if __name__ == "__main__":
    sys.exit(main())
