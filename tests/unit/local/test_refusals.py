"""The gateway's error responses: the template's gateway responses, or AWS's defaults."""

import json

import pytest

from infra.local.gateway.api import CustomResponse
from infra.local.gateway.refusals import Answer, Refusal, render_refusal

CONTEXT = {
    "requestId": "6f1cbb1c",
    "stage": "dev",
    "domainName": "api.example",
    "identity": {"sourceIp": "203.0.113.7"},
}


def custom(status: int | None, template: str, **headers: str) -> CustomResponse:
    named = {f"gatewayresponse.header.{name.replace('_', '-')}": value for name, value in headers.items()}
    return CustomResponse(status, named, {"application/json": template} if template else {})


def render(refusal: Refusal, **responses: CustomResponse) -> Answer:
    return render_refusal(refusal, responses, CONTEXT, {"origin": "https://app.example"})


@pytest.mark.parametrize(
    ("kind", "status", "message"),
    [
        ("UNAUTHORIZED", 401, "Unauthorized"),
        ("MISSING_AUTHENTICATION_TOKEN", 403, "Missing Authentication Token"),
        ("REQUEST_TOO_LARGE", 413, "Request Too Long"),
        ("AUTHORIZER_FAILURE", 500, "Internal server error"),
        ("INTEGRATION_TIMEOUT", 504, "Endpoint request timed out"),
    ],
)
def test_without_a_gateway_response(kind: str, status: int, message: str) -> None:
    answer = render(Refusal(kind))
    assert answer.status == status
    assert json.loads(answer.body) == {"message": message}
    assert dict(answer.headers) == {"content-type": "application/json", "x-amzn-requestid": "6f1cbb1c"}


def test_template_and_headers() -> None:
    template = '{"code":"UNAUTHENTICATED","request_id":"$context.requestId","ip":"$context.identity.sourceIp"}'
    answer = render(
        Refusal("UNAUTHORIZED"),
        UNAUTHORIZED=custom(
            401,
            template,
            Content_Type="'application/problem+json'",
            X_Request_Id="context.requestId",
            Access_Control_Allow_Origin="method.request.header.Origin",
            X_Absent="method.request.header.Absent",
        ),
    )
    assert json.loads(answer.body) == {"code": "UNAUTHENTICATED", "request_id": "6f1cbb1c", "ip": "203.0.113.7"}
    assert dict(answer.headers) == {
        "content-type": "application/problem+json",
        "x-request-id": "6f1cbb1c",
        "access-control-allow-origin": "https://app.example",
        "x-amzn-requestid": "6f1cbb1c",
    }


def test_denial_has_the_authorizers_context() -> None:
    template = '{"type":"https://$context.domainName/$context.stage/errors/${context.authorizer.code}"}'
    refusal = Refusal("ACCESS_DENIED", {"code": "TENANT_INACTIVE"})
    answer = render(refusal, ACCESS_DENIED=custom(None, template))
    assert answer.status == 403
    assert json.loads(answer.body) == {"type": "https://api.example/dev/errors/TENANT_INACTIVE"}


def test_missing_value_is_empty() -> None:
    template = '"$context.authorizer.code$context.identity$context.nothing.at.all$stageVariables.x"'
    assert render(Refusal("ACCESS_DENIED"), ACCESS_DENIED=custom(403, template)).body == b'""'


def test_error_of_the_gateway_itself() -> None:
    template = '{"message":$context.error.messageString,"kind":"$context.error.responseType"}'
    answer = render(Refusal("THROTTLED"), THROTTLED=custom(429, template))
    assert json.loads(answer.body) == {"message": "Too Many Requests", "kind": "THROTTLED"}


def test_default_response_is_used_for_its_types() -> None:
    families = {"DEFAULT_4XX": custom(404, '"4"'), "DEFAULT_5XX": custom(None, '"5"')}
    assert render(Refusal("UNAUTHORIZED"), **families).status == 404
    answer = render(Refusal("DEFAULT_5XX", status=502), **families)
    assert (answer.status, answer.body) == (502, b'"5"')
