"""The effect of the template's parameters on its resources."""

import json

import pytest
from atrium.settings import MODEL_VENDORS

from infra.checks.policies import as_list, statements
from infra.checks.routes import functions_of
from infra.runtime.template import Document, Resolver


def _refusal(template: Document, name: str, **parameters: str) -> tuple[Document, Document]:
    api = Resolver(template, parameters).resolve(template["Resources"]["Api"]["Properties"])
    response = api["GatewayResponses"][name]
    return json.loads(response["ResponseTemplates"]["application/json"]), response["ResponseParameters"]["Headers"]


def test_a_refusal_points_to_a_page_below_the_public_url(template: Document) -> None:
    body, _ = _refusal(template, "UNAUTHORIZED", PublicUrl="https://api.example.com")

    assert body["type"] == "https://api.example.com/docs/errors/UNAUTHENTICATED"


def test_a_refusal_without_public_url_points_to_where_the_request_went(template: Document) -> None:
    body, _ = _refusal(template, "MISSING_AUTHENTICATION_TOKEN")

    assert body["type"] == "https://$context.domainName/$context.stage/docs/errors/NOT_FOUND"


@pytest.mark.parametrize(
    ("origins", "answered"),
    [("*", "'*'"), ("https://a.example", "'https://a.example'"), ("https://a.example,https://b.example", "'*'")],
)
def test_preflights_and_refusals_answer_the_one_origin_or_any(template: Document, origins: str, answered: str) -> None:
    api = Resolver(template, {"CorsOrigins": origins}).resolve(template["Resources"]["Api"]["Properties"])

    _, headers = _refusal(template, "THROTTLED", CorsOrigins=origins)

    assert api["Cors"]["AllowOrigin"] == answered
    assert headers["Access-Control-Allow-Origin"] == answered


def test_functions_get_all_origins(template: Document) -> None:
    resolver = Resolver(template, {"CorsOrigins": "https://a.example,https://b.example"})

    variables = resolver.resolve(functions_of(template)["UsageFunction"]["Environment"]["Variables"])

    assert variables["CORS_ORIGINS"] == "https://a.example,https://b.example"


@pytest.mark.parametrize(("given", "reserved"), [("0", None), ("-1", None), ("7", "7")])
def test_concurrency_is_reserved_only_when_asked(template: Document, given: str, reserved: str | None) -> None:
    for parameter, function in (
        ("AuthorizerConcurrency", "AuthorizerFunction"),
        ("IdentityConcurrency", "IdentityFunction"),
        ("ChatConcurrency", "ChatFunction"),
    ):
        properties = Resolver(template, {parameter: given}).resolve(functions_of(template)[function])

        assert properties.get("ReservedConcurrentExecutions") == reserved


def test_only_functions_that_call_models_may_use_bedrock(template: Document) -> None:
    roles = {
        name: item["Properties"] for name, item in template["Resources"].items() if item["Type"] == "AWS::IAM::Role"
    }

    granted = {
        provider: [
            name for name, role in roles.items() if "bedrock:" in json.dumps(Resolver(template, given).resolve(role))
        ]
        for provider, given in (("anthropic", {}), ("bedrock", {"ModelProvider": "bedrock"}))
    }

    assert granted == {"anthropic": [], "bedrock": ["ChatRole", "JobsWorkerRole"]}


def test_the_gateways_own_refusals_ask_browsers_for_https(template: Document) -> None:
    for name in template["Resources"]["Api"]["Properties"]["GatewayResponses"]:
        _, headers = _refusal(template, name)
        assert headers["Strict-Transport-Security"] == "'max-age=31536000'"


def test_an_empty_base_url_is_not_given_to_the_model_sdk(template: Document) -> None:
    variables = functions_of(template)["ChatFunction"]["Environment"]["Variables"]

    for vendor in MODEL_VENDORS:
        assert f"{vendor.upper()}_BASE_URL" not in Resolver(template).resolve(variables)
        given = Resolver(template, {f"{vendor.title()}BaseUrl": "http://127.0.0.1:9"}).resolve(variables)
        assert given[f"{vendor.upper()}_BASE_URL"] == "http://127.0.0.1:9"


def test_readers_of_blobs_may_list_the_bucket(template: Document) -> None:
    """Without s3:ListBucket, S3 returns 403 for a missing blob, which the code cannot distinguish from a denied call.

    Credentials of a tenant may not list the bucket. Their bucket has `may_list=False`, because for them a 403 response
    has no other cause.
    """
    roles = {
        name: {str(action) for statement in statements(item["Properties"]) for action in as_list(statement["Action"])}
        for name, item in template["Resources"].items()
        if item["Type"] == "AWS::IAM::Role" and "Policies" in item["Properties"]
    }

    readers = {name for name, actions in roles.items() if "s3:GetObject" in actions}

    assert readers == {"ArchiveRole", "ChatRole", "JobsWorkerRole", "SessionsRole", "SweepRole", "TenantRole"}
    assert {name for name in readers if "s3:ListBucket" not in roles[name]} == {"TenantRole"}


def test_every_function_with_the_tenant_role_may_assume_it(template: Document) -> None:
    resources = template["Resources"]
    functions = [
        item["Properties"]
        for item in resources.values()
        if "TENANT_ROLE_ARN" in item["Properties"].get("Environment", {}).get("Variables", {})
    ]
    trusted = resources["TenantRole"]["Properties"]["AssumeRolePolicyDocument"]["Statement"][0]["Principal"]["AWS"]
    roles = [function["Role"]["Fn::GetAtt"][0] for function in functions]
    allowed = resources["TenantSessionsPolicy"]["Properties"]["Roles"]
    assert sorted(roles) == sorted(each["Fn::GetAtt"][0] for each in trusted) == sorted(each["Ref"] for each in allowed)
