"""Reads the deployed REST API, which SAM generates as an OpenAPI document with AWS extensions."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from infra.local import StartFailed
from infra.local.stack.deploy import Stack
from infra.runtime.template import Document

API_TYPE = "AWS::ApiGateway::RestApi"
STAGE_TYPE = "AWS::ApiGateway::Stage"
BUFFERED_SECONDS_MAX = 29.0
_FUNCTION = re.compile(r"function:([A-Za-z0-9_-]+)(?::[^/]+)?/(?:response-streaming-)?invocations$")
_INTEGRATION = "x-amazon-apigateway-integration"
_AUTHORIZER = "x-amazon-apigateway-authorizer"
_METHODS = frozenset({"get", "post", "put", "patch", "delete", "head", "options"})


@dataclass(frozen=True)
class FunctionIntegration:
    """An integration that sends the whole request to a function. `streams` is true if the response is streamed."""

    function_name: str
    streams: bool
    timeout_seconds: float


@dataclass(frozen=True)
class FixedIntegration:
    """An integration with a fixed response, used for CORS preflights."""

    status: int
    headers: Mapping[str, str]
    body: str


@dataclass(frozen=True)
class Route:
    """A method of a resource. `authorizer` is the name of the authorizer function, or None for a public route."""

    method: str
    resource: str
    authorizer: str | None
    integration: FunctionIntegration | FixedIntegration


@dataclass(frozen=True)
class CustomResponse:
    """A gateway response that the template defines.

    If `status` is None, the default status of the response type is used.
    """

    status: int | None
    headers: Mapping[str, str]
    templates: Mapping[str, str]


@dataclass(frozen=True)
class Api:
    """A REST API and its stage."""

    api_id: str
    stage: str
    routes: tuple[Route, ...]
    responses: Mapping[str, CustomResponse]
    binary_types: tuple[str, ...]


def read_api(stack: Stack) -> Api:
    """Read the stack's only REST API. Raises StartFailed if the API uses an unsupported feature."""
    resources = stack.resolver.template["Resources"]
    found = [logical_id for logical_id, resource in resources.items() if resource["Type"] == API_TYPE]
    if len(found) != 1:
        raise StartFailed(f"template.yaml: expected one REST API, found {len(found)}")
    properties = stack.resolver.resolve(resources[found[0]]["Properties"])
    stages = [resource["Properties"] for resource in resources.values() if resource["Type"] == STAGE_TYPE]
    body = properties["Body"]
    return Api(
        api_id=stack.physical_ids[found[0]],
        stage=str(stack.resolver.resolve(stages[0]["StageName"])),
        routes=tuple(_read_routes(body)),
        responses=_read_responses(body.get("x-amazon-apigateway-gateway-responses", {})),
        binary_types=tuple(body.get("x-amazon-apigateway-binary-media-types", ())),
    )


def _read_routes(body: Document) -> list[Route]:
    schemes = body.get("securityDefinitions") or body.get("components", {}).get("securitySchemes", {})
    authorizers = {
        name: _function_name(scheme[_AUTHORIZER]["authorizerUri"], name)
        for name, scheme in schemes.items()
        if scheme.get(_AUTHORIZER, {}).get("type") == "request"
    }
    return [
        Route(method.upper(), path, _read_security(operation, body, authorizers), _read_integration(operation, path))
        for path, operations in body["paths"].items()
        for method, operation in operations.items()
        if method in _METHODS
    ]


def _read_security(operation: Document, body: Document, authorizers: Mapping[str, str]) -> str | None:
    requirements: list[Document] = operation.get("security", body.get("security")) or []
    names = [name for requirement in requirements for name in requirement]
    return next((authorizers[name] for name in names if name in authorizers), None)


def _read_integration(operation: Document, path: str) -> FunctionIntegration | FixedIntegration:
    integration = operation.get(_INTEGRATION, {})
    kind = str(integration.get("type", "none")).lower()
    if kind == "mock":
        return _read_fixed(integration)
    if kind != "aws_proxy":
        raise StartFailed(f"template.yaml: the integration {kind} of {path} is not supported by the local stack")
    milliseconds = integration.get("timeoutInMillis")
    return FunctionIntegration(
        function_name=_function_name(integration["uri"], path),
        streams=integration.get("responseTransferMode") == "STREAM",
        timeout_seconds=BUFFERED_SECONDS_MAX if milliseconds is None else int(milliseconds) / 1000,
    )


def _read_fixed(integration: Document) -> FixedIntegration:
    answer: Document = next(iter(integration.get("responses", {}).values()), {})
    prefix = "method.response.header."
    return FixedIntegration(
        status=int(answer.get("statusCode", 200)),
        headers={"content-type": "application/json"}
        | {
            name.removeprefix(prefix).lower(): _unquote(value)
            for name, value in answer.get("responseParameters", {}).items()
            if name.startswith(prefix)
        },
        body=str(answer.get("responseTemplates", {}).get("application/json", "")).strip(),
    )


def _read_responses(responses: Document) -> dict[str, CustomResponse]:
    return {
        kind: CustomResponse(
            status=int(response["statusCode"]) if "statusCode" in response else None,
            headers={str(name): str(value) for name, value in response.get("responseParameters", {}).items()},
            templates={name: _speak_http(text) for name, text in response.get("responseTemplates", {}).items()},
        )
        for kind, response in responses.items()
    }


def _speak_http(text: str) -> str:
    """Replace https with http in links to this gateway, because it serves only http."""
    return text.replace("https://$context.domainName", "http://$context.domainName")


def _function_name(uri: Any, where: str) -> str:
    matched = _FUNCTION.search(str(uri))
    if matched is None:
        raise StartFailed(f"template.yaml: {where} does not name a function of the stack")
    return matched[1]


def _unquote(value: object) -> str:
    return str(value).strip("'")
