"""The effect of the parameters on a deployment: retention, tenant sessions, logs, releases and restore."""

import json
import re

import pytest

from infra.checks.routes import functions_of
from infra.runtime.template import ROOT, TEMPLATE, Document, Resolver


@pytest.mark.parametrize(
    ("environment", "protects", "policy"),
    [
        ("dev", "true", "Delete"),
        ("staging", "true", "Retain"),
        ("prod", "true", "Retain"),
        ("prod", "false", "Delete"),
    ],
)
def test_data_outlives_the_stack_outside_dev(template: Document, environment: str, protects: str, policy: str) -> None:
    resolver = Resolver(template, {"Environment": environment, "ProtectData": protects})
    table = template["Resources"]["Table"]

    assert resolver.resolve(table["DeletionPolicy"]) == policy
    assert resolver.resolve(table["Properties"]["DeletionProtectionEnabled"]) is (policy == "Retain")


def test_a_failed_create_leaves_nothing(template: Document) -> None:
    """`make deploy` creates a stack with ProtectData=false.

    With the DeletionPolicy Retain, the rollback of a failed create would keep the resources.
    """
    resolver = Resolver(template, {"Environment": "prod", "ProtectData": "false"})

    kept = {
        name: item
        for name, item in template["Resources"].items()
        for policy in ("DeletionPolicy", "UpdateReplacePolicy")
        if resolver.resolve(item.get(policy, "Delete")) != "Delete"
    }

    assert kept == {}


def test_resources_change_together_with_their_retention(template: Document) -> None:
    """CloudFormation applies a new DeletionPolicy only together with another change of the resource."""
    before = Resolver(template, {"Environment": "prod", "ProtectData": "false"})
    after = Resolver(template, {"Environment": "prod"})

    retained = [item for item in template["Resources"].values() if "DeletionPolicy" in item]

    assert retained
    for item in retained:
        assert after.resolve(item["DeletionPolicy"]) == "Retain"
        assert before.resolve(item["Metadata"]) != after.resolve(item["Metadata"])


@pytest.mark.parametrize(
    ("environment", "given", "bound"),
    [
        ("dev", "auto", False),
        ("staging", "auto", True),
        ("prod", "auto", True),
        ("dev", "on", True),
        ("prod", "off", False),
    ],
)
def test_tenant_sessions_are_on_outside_dev(template: Document, environment: str, given: str, bound: bool) -> None:
    resolver = Resolver(template, {"Environment": environment, "TenantSessions": given})

    assert resolver.holds("BindsTenants") is bound
    variables = resolver.resolve(functions_of(template)["ChatFunction"]["Environment"]["Variables"])
    assert variables["TENANT_ROLE_ARN"] == ("TenantRole.Arn" if bound else "")


@pytest.mark.parametrize(
    ("platform", "chat", "limit"),
    [("0", "0", "100"), ("0", "-1", "100"), ("0", "500", "500"), ("40", "500", "40"), ("-1", "500", "-1")],
)
def test_the_platform_limit_follows_the_reserved_concurrency(
    template: Document, platform: str, chat: str, limit: str
) -> None:
    resolver = Resolver(template, {"PlatformConcurrency": platform, "ChatConcurrency": chat})

    variables = resolver.resolve(functions_of(template)["ChatFunction"]["Environment"]["Variables"])

    assert variables["PLATFORM_CONCURRENCY"] == limit


@pytest.mark.parametrize(
    ("level", "of_lambda"), [("DEBUG", "DEBUG"), ("INFO", "INFO"), ("WARN", "INFO"), ("ERROR", "INFO")]
)
def test_no_log_level_drops_metrics(template: Document, level: str, of_lambda: str) -> None:
    """Lambda treats metric lines as INFO, and drops lines below its log level."""
    for properties in functions_of(template).values():
        resolved = Resolver(template, {"LogLevel": level}).resolve(properties["LoggingConfig"])
        assert resolved["ApplicationLogLevel"] == of_lambda


def test_every_log_group_has_the_key_that_is_given(template: Document) -> None:
    groups = [item["Properties"] for item in template["Resources"].values() if item["Type"] == "AWS::Logs::LogGroup"]

    for group in groups:
        assert "KmsKeyId" not in Resolver(template).resolve(group)
        assert Resolver(template, {"LogKeyArn": "arn:aws:kms:x"}).resolve(group)["KmsKeyId"] == "arn:aws:kms:x"


def test_the_default_endpoint_is_disabled_behind_a_domain(template: Document) -> None:
    api = template["Resources"]["Api"]["Properties"]["DisableExecuteApiEndpoint"]

    assert Resolver(template).resolve(api) is False
    assert Resolver(template, {"DomainName": "api.example.com"}).resolve(api) is True


def test_a_web_acl_is_associated_with_the_stage(template: Document) -> None:
    association = template["Resources"]["WebAclAssociation"]
    resolver = Resolver(template, {"WebAclArn": "arn:aws:wafv2:x:1:regional/webacl/a/1"})

    resolved = resolver.resolve(association["Properties"])

    assert association["Condition"] == "HasWebAcl"
    assert resolver.holds("HasWebAcl")
    assert not Resolver(template).holds("HasWebAcl")
    assert resolved["ResourceArn"] == "arn:aws:apigateway:eu-central-1::/restapis/Api/stages/Api.Stage"


def test_no_arn_names_a_partition() -> None:
    """The patterns of parameters are excluded, because they accept the ARN of any partition."""
    lines = [line for line in TEMPLATE.read_text().splitlines() if "arn:" in line and "AllowedPattern" not in line]

    assert lines
    assert [line for line in lines if "arn:${AWS::Partition}:" not in line] == []


def test_layers_of_two_stacks_have_different_names(template: Document) -> None:
    layers = {
        name: item["Properties"]["LayerName"]
        for name, item in template["Resources"].items()
        if item["Type"] == "AWS::Serverless::LayerVersion"
    }

    assert len(layers) == 2
    for name in layers.values():
        assert name["Fn::Sub"].startswith("${AWS::StackName}-")


def test_a_restored_table_replaces_the_stacks_own_everywhere(template: Document) -> None:
    stream = "arn:aws:dynamodb:eu-central-1:123456789012:table/restored/stream/1"
    resolver = Resolver(template, {"RestoredTable": "restored", "RestoredTableStream": stream})
    used = {name: resolver.resolve(item.get("Properties", {})) for name, item in template["Resources"].items()}
    shared = resolver.resolve(template["Globals"])

    assert shared["Function"]["Environment"]["Variables"]["TABLE_NAME"] == "restored"
    assert "Table.Arn" not in json.dumps(used)
    assert "Table.StreamArn" not in json.dumps(used)
    assert json.dumps(used).count(stream) == 2
    assert resolver.resolve(template["Outputs"]["TableName"]["Value"]) == "restored"


def test_every_output_that_a_document_names_exists(template: Document) -> None:
    documents = [ROOT / "README.md", *sorted((ROOT / "infra" / "docs").glob("*.md"))]
    named = {
        word
        for document in documents
        for word in re.findall(r"`(\w+(?:Arn|Url|Name|DeadLettersUrl))`", document.read_text())
        if word not in template["Parameters"]
    }

    assert named <= set(template["Outputs"])


@pytest.mark.parametrize("canary", ["true", "false"])
def test_every_function_is_released_by_its_alias(template: Document, canary: str) -> None:
    """A release that changes only parameters must also publish new versions. By default, SAM compares only CodeUri."""
    shared = template["Globals"]["Function"]
    preference = Resolver(template, {"Canary": canary}).resolve(shared["DeploymentPreference"])

    assert shared["AutoPublishAlias"] == "live"
    assert shared["VersionDeletionPolicy"] == "Delete"
    assert preference == {"Enabled": canary, "Type": "Canary10Percent5Minutes", "Alarms": ["ServerErrorsAlarm"]}
    for name, properties in functions_of(template).items():
        assert properties["AutoPublishCodeSha256"] == {"Ref": "Release"}, name


def test_a_background_function_rolls_back_on_its_own_errors(template: Document) -> None:
    """The errors of a background function are not in the API's 5xx metric."""
    own = {
        name: properties.get("DeploymentPreference", {}).get("Alarms")
        for name, properties in functions_of(template).items()
        if not any(event["Type"] == "Api" for event in properties.get("Events", {}).values())
    }
    del own["AuthorizerFunction"]  # the gateway returns 503 if it fails

    assert own == {name: [{"Ref": name.replace("Function", "ErrorsAlarm")}] for name in own}


def test_only_chat_and_authorizer_start_from_snapshots_and_only_when_asked(template: Document) -> None:
    for value, applied in (("false", "None"), ("true", "PublishedVersions")):
        resolved = {
            name: Resolver(template, {"SnapStart": value}).resolve(properties["SnapStart"])
            for name, properties in functions_of(template).items()
            if "SnapStart" in properties
        }
        assert resolved == {name: {"ApplyOn": applied} for name in ("AuthorizerFunction", "ChatFunction")}
