"""Checks of the expanded template. The tests use prepared expansions, and `make check` runs SAM itself."""

from collections.abc import Callable

import pytest

from infra.checks.expansion import check_expansion, check_release, expand
from infra.runtime.template import ROOT, Document, TemplateInvalid

STREAM = "lambda:path/2021-11-15/functions/${ChatFunctionAliaslive}/response-streaming-invocations"
BUFFER = "lambda:path/2015-03-31/functions/${UsageFunctionAliaslive}/invocations"


def _operation(uri: str, **integration: object) -> Document:
    return {
        "x-amazon-apigateway-integration": {"type": "aws_proxy", "uri": {"Fn::Sub": uri}, **integration},
        "security": [{"CredentialAuthorizer": []}],
    }


def _expanded() -> Document:
    paths = {
        "/v1/chat": {
            "post": _operation(STREAM, responseTransferMode="STREAM", timeoutInMillis=900_000),
            "options": {"x-amazon-apigateway-integration": {"type": "mock"}},
        },
        "/v1/usage": {"get": _operation(BUFFER)},
        "/v1/health": {"get": {**_operation(BUFFER), "security": [{"NONE": []}]}},
    }
    expanded: Document = {"Type": "AWS::ApiGateway::RestApi", "Properties": {"Body": {"paths": paths}}}
    found: Document = {"Resources": {"Api": expanded}}
    _name_authorizer(found, "AuthorizerFunctionAliaslive")
    return found


def _name_authorizer(expanded: Document, name: str) -> None:
    scheme = {
        "x-amazon-apigateway-authorizer": {"authorizerUri": {"Fn::Sub": ["…", {"__FunctionArn__": {"Ref": name}}]}}
    }
    expanded["Resources"]["Api"]["Properties"]["Body"]["securityDefinitions"] = {"CredentialAuthorizer": scheme}


def _paths(expanded: Document) -> Document:
    found: Document = expanded["Resources"]["Api"]["Properties"]["Body"]["paths"]
    return found


def _add_resources(expanded: Document, number: int, kind: str) -> None:
    for index in range(number):
        properties = {"FunctionName": {"Ref": "UsageFunctionAliaslive"}}
        expanded["Resources"][f"More{index}"] = {"Type": kind, "Properties": properties}


def test_a_valid_expansion_passes() -> None:
    assert list(check_expansion(_expanded())) == []


@pytest.mark.parametrize(
    ("change", "finding"),
    [
        (lambda e: _paths(e)["/v1/chat"].update(post=_operation(STREAM)), "POST /v1/chat is not a streaming"),
        (
            lambda e: _paths(e)["/v1/usage"].update(get=_operation(BUFFER, timeoutInMillis=900_000)),
            "GET /v1/usage is a streaming",
        ),
        (
            lambda e: _paths(e)["/v1/chat"]["options"].update(security=[{"CredentialAuthorizer": []}]),
            "OPTIONS /v1/chat must be answered by the gateway",
        ),
        (lambda e: _paths(e)["/v1/usage"]["get"].update(security=[{"NONE": []}]), "GET /v1/usage has the wrong"),
        (lambda e: _paths(e)["/v1/health"].update(get=_operation(BUFFER)), "GET /v1/health has the wrong"),
        (
            lambda e: _paths(e)["/v1/usage"].update(
                get=_operation("lambda:path/functions/${UsageFunction.Arn}/invocations")
            ),
            "GET /v1/usage goes to $LATEST",
        ),
        (lambda e: _name_authorizer(e, "AuthorizerFunction"), "the authorizer is $LATEST"),
        (
            lambda e: e["Resources"].update(
                Stream={"Type": "AWS::Lambda::EventSourceMapping", "Properties": {"FunctionName": {"Ref": "Usage"}}}
            ),
            "Stream goes to $LATEST",
        ),
        (lambda e: _add_resources(e, 41, "AWS::Lambda::Permission"), "has 41 permissions, 40 at most"),
        (lambda e: _add_resources(e, 500, "AWS::Logs::LogGroup"), "501 resources, 500 at most"),
        (lambda e: e.update(Description="x" * 1_000_000), "over 1000000 bytes"),
    ],
)
def test_finds_what_would_fail_on_aws(change: Callable[[Document], object], finding: str) -> None:
    expanded = _expanded()
    change(expanded)

    findings = list(check_expansion(expanded))

    assert len(findings) == 1
    assert finding in findings[0]


def test_reports_a_missing_sam(template: Document) -> None:
    with pytest.raises(TemplateInvalid, match="SAM CLI is not installed"):
        expand(template, ROOT / "no-such-python")


def _release(number: int) -> Document:
    return {
        "Resources": {
            "UsageFunction": {"Type": "AWS::Lambda::Function"},
            f"UsageFunctionVersion{number}": {"Type": "AWS::Lambda::Version"},
            "UsageFunctionDeploymentGroup": {"Type": "AWS::CodeDeploy::DeploymentGroup"},
        }
    }


def test_a_release_has_new_versions_behind_canaries() -> None:
    without_canary = _release(2)
    del without_canary["Resources"]["UsageFunctionDeploymentGroup"]

    assert list(check_release(_release(1), _release(2))) == []
    assert list(check_release(_release(1), _release(1))) == ["UsageFunction has no new version in a new release"]
    assert list(check_release(_release(1), without_canary)) == ["UsageFunction is released without canary"]
