"""The parser of a REST API in SAM's format: routes, gateway responses and preflight requests."""

import pytest

from infra.local import StartFailed
from infra.local.gateway.api import Api, FixedIntegration, FunctionIntegration, read_api
from infra.local.stack.deploy import Stack
from infra.runtime.resources import Endpoint
from infra.runtime.template import Document, Resolver
from tests.unit.local.builders import ENDPOINT_URL

LAMBDA = "arn:aws:apigateway:${AWS::Region}:lambda:path"


def function(uri: str, **more: object) -> Document:
    return {"x-amazon-apigateway-integration": {"type": "aws_proxy", "uri": {"Fn::Sub": LAMBDA + uri}, **more}}


BUFFERED = function("/2015-03-31/functions/${Things.Arn}/invocations")
STREAMED = function(
    "/2021-11-15/functions/${Chat.Arn}/response-streaming-invocations",
    responseTransferMode="STREAM",
    timeoutInMillis=900000,
)
PREFLIGHT: Document = {
    "x-amazon-apigateway-integration": {
        "type": "mock",
        "requestTemplates": {"application/json": '{"statusCode": 200}'},
        "responses": {
            "default": {
                "statusCode": "200",
                "responseParameters": {
                    "method.response.header.Access-Control-Allow-Origin": {"Fn::Sub": "'${Origin}'"},
                    "method.response.header.Access-Control-Max-Age": "'600'",
                },
                "responseTemplates": {"application/json": "{}\n"},
            }
        },
    }
}
AUTHORIZER: Document = {
    "type": "apiKey",
    "x-amazon-apigateway-authorizer": {
        "type": "request",
        "authorizerUri": {"Fn::Sub": LAMBDA + "/2015-03-31/functions/${Authorizer.Arn}/invocations"},
    },
}
ARN = "arn:aws:lambda:eu-central-1:123456789012:function:"


def read(body: Document, **more: Document) -> Api:
    template: Document = {
        "Parameters": {"Origin": {"Default": "https://app.example"}},
        "Resources": {
            "Api": {"Type": "AWS::ApiGateway::RestApi", "Properties": {"Body": {"paths": {}, **body}}},
            "ApiStage": {"Type": "AWS::ApiGateway::Stage", "Properties": {"StageName": "dev"}},
            **{name: {"Type": "AWS::Lambda::Function"} for name in ("Things", "Chat", "Authorizer")},
            **more,
        },
    }
    attributes = {name: {"Ref": name.lower(), "Arn": ARN + name.lower()} for name in template["Resources"]}
    physical_ids = {name: name.lower() for name in template["Resources"]}
    return read_api(Stack(Endpoint(ENDPOINT_URL), Resolver(template, {}, attributes), {}, physical_ids))


def test_buffered_and_streamed_routes() -> None:
    secured = {"security": [{"Tenant": []}], **BUFFERED}
    api = read(
        {
            "securityDefinitions": {"Tenant": AUTHORIZER},
            "paths": {"/v1/things": {"get": secured}, "/v1/chat": {"post": {"security": [{"NONE": []}], **STREAMED}}},
        }
    )
    things, chat = api.routes
    assert (api.api_id, api.stage) == ("api", "dev")
    assert (things.method, things.resource, things.authorizer) == ("GET", "/v1/things", "authorizer")
    assert things.integration == FunctionIntegration("things", streams=False, timeout_seconds=29)
    assert chat.authorizer is None
    assert chat.integration == FunctionIntegration("chat", streams=True, timeout_seconds=900)


def test_alias_is_a_name_of_its_function() -> None:
    integration = BUFFERED["x-amazon-apigateway-integration"] | {"uri": f"x/functions/{ARN}things:live/invocations"}
    (route,) = read({"paths": {"/": {"get": {"x-amazon-apigateway-integration": integration}}}}).routes
    assert isinstance(route.integration, FunctionIntegration)
    assert route.integration.function_name == "things"


def test_preflight() -> None:
    (route,) = read({"paths": {"/v1/things": {"options": PREFLIGHT}}}).routes
    headers = {
        "content-type": "application/json",
        "access-control-allow-origin": "https://app.example",
        "access-control-max-age": "600",
    }
    assert route.integration == FixedIntegration(200, headers, "{}")


def test_gateway_responses() -> None:
    api = read(
        {
            "x-amazon-apigateway-gateway-responses": {
                "UNAUTHORIZED": {
                    "statusCode": "401",
                    "responseParameters": {"gatewayresponse.header.X": "context.requestId"},
                    "responseTemplates": {"application/json": '"https://$context.domainName/$context.stage"'},
                },
                "DEFAULT_5XX": {},
            }
        }
    )
    unauthorized = api.responses["UNAUTHORIZED"]
    assert unauthorized.status == 401
    assert unauthorized.headers == {"gatewayresponse.header.X": "context.requestId"}
    # This gateway has no TLS, so its links must use http.
    assert unauthorized.templates == {"application/json": '"http://$context.domainName/$context.stage"'}
    assert api.responses["DEFAULT_5XX"].status is None


def test_other_integrations_are_refused() -> None:
    operation = {"x-amazon-apigateway-integration": {"type": "http_proxy", "uri": "https://x.example"}}
    with pytest.raises(StartFailed, match="integration http_proxy of /v1/x"):
        read({"paths": {"/v1/x": {"get": operation}}})


def test_uri_without_a_function_is_refused() -> None:
    operation = {"x-amazon-apigateway-integration": {"type": "aws_proxy", "uri": "arn:aws:sqs:x"}}
    with pytest.raises(StartFailed, match="/v1/x does not name a function"):
        read({"paths": {"/v1/x": {"get": operation}}})


def test_one_api_is_expected() -> None:
    with pytest.raises(StartFailed, match="expected one REST API, found 2"):
        read({}, Other={"Type": "AWS::ApiGateway::RestApi", "Properties": {"Body": {"paths": {}}}})
