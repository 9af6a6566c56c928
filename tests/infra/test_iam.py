"""The description of a call for the policy evaluation, and the requests that the policies must allow or deny."""

from typing import Any

import pytest

from infra.iam.__main__ import main
from infra.iam.calls import RecordedCall, describe
from infra.iam.judging import BOUND, OTHER, OWN, ask_all
from infra.iam.policies import TENANT_ROLE, granted, read_policies

A, B = "ten_01k6r5m2x8f3v9q4w7t1y0z5ab", "ten_01k6r5m2x8f3v9q4w7t1y0z5ac"


def key(partition: str) -> dict[str, Any]:
    return {"pk": {"S": partition}, "sk": {"S": "x"}}


@pytest.mark.parametrize(
    ("operation", "arguments", "expected"),
    [
        ("GetItem", {"Key": key(f"TENANT#{A}")}, [("dynamodb:GetItem", "table", ("TENANT#{1}",))]),
        (
            "PutItem",
            {"Item": {**key(f"TENANT#{A}#SESSION#ses_1"), "text": {"S": B}}},
            [("dynamodb:PutItem", "table", ("TENANT#{1}#SESSION",))],
        ),
        (
            "Query",
            {
                "IndexName": "gsi1",
                "KeyConditionExpression": "#pk = :pk AND begins_with(#sk, :start)",
                "ExpressionAttributeValues": {":start": {"S": B}, ":pk": {"S": f"TENANT#{A}#RUNS"}},
            },
            [("dynamodb:Query", "index/gsi1", ("TENANT#{1}#RUNS",))],
        ),
        (
            "BatchGetItem",
            {"RequestItems": {"atrium": {"Keys": [key(f"TENANT#{A}"), key(f"TENANT#{B}"), key("PLATFORM#KEYS")]}}},
            [("dynamodb:BatchGetItem", "table", ("PLATFORM#KEYS", "TENANT#{1}", "TENANT#{2}"))],
        ),
        (
            "BatchWriteItem",
            {"RequestItems": {"atrium": [{"DeleteRequest": {"Key": key(f"TENANT#{A}")}}]}},
            [("dynamodb:BatchWriteItem", "table", ("TENANT#{1}",))],
        ),
        (
            "TransactWriteItems",
            {"TransactItems": [{"Put": {"Item": key(f"TENANT#{A}")}}, {"ConditionCheck": {"Key": key("PLATFORM")}}]},
            [
                ("dynamodb:ConditionCheckItem", "table", ("PLATFORM", "TENANT#{1}")),
                ("dynamodb:PutItem", "table", ("PLATFORM", "TENANT#{1}")),
            ],
        ),
        ("Scan", {}, []),
    ],
)
def test_describes_a_call_to_the_table(operation: str, arguments: dict[str, Any], expected: list[Any]) -> None:
    assert sorted(describe("dynamodb", operation, arguments)) == expected


def test_describes_a_call_to_the_bucket() -> None:
    put = {"Bucket": "atrium", "Key": f"tenants/{A}/runs/1"}
    assert list(describe("s3", "PutObject", put)) == [("s3:PutObject", "blobs", ("tenants/{1}/runs",))]
    assert list(describe("s3", "ListObjectsV2", {"Bucket": "atrium"})) == []


def test_a_read_of_a_secret() -> None:
    arn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:atrium/login-AbCd12"
    assert list(describe("secretsmanager", "GetSecretValue", {"SecretId": arn})) == [
        ("secretsmanager:GetSecretValue", "secret/login", ())
    ]
    assert list(describe("secretsmanager", "CreateSecret", {"Name": "atrium/login"})) == []
    policies = read_policies(sessions=True), read_policies(sessions=False)
    call = RecordedCall("identity", "secretsmanager:GetSecretValue", "secret/login", ())
    asked = [question for question in ask_all([call], *policies) if question.call == call]
    assert [question.allowed for question in asked] == [True, True]
    assert all(("secretsmanager:GetSecretValue", "secret/login") in granted(each.policy) for each in asked)


def test_a_tenants_call_is_tried_as_its_own_and_as_everybody_elses() -> None:
    call = RecordedCall("chat", "dynamodb:GetItem", "table", ("TENANT#{1}#SESSION",))
    policies = read_policies(sessions=True)
    asked = [each for each in ask_all([call], policies, read_policies(sessions=False)) if each.call == call]
    wanted = {question.what: question.allowed for question in asked}
    assert [what for what, allowed in wanted.items() if allowed] == [
        "its own role, without sessions", "the tenant's session"
    ]  # fmt: skip
    assert len(wanted) == 9
    of_sessions = [question for question in asked if question.policy is policies[TENANT_ROLE]]
    assert {question.context.get("aws:PrincipalTag/TenantId") for question in of_sessions} >= {
        OWN,
        OTHER,
        OWN[:-1],
        None,
    }
    without = next(question for question in asked if "without keys" in question.what)
    assert "dynamodb:LeadingKeys" not in without.context


def test_platform_items_use_the_functions_role() -> None:
    call = RecordedCall("identity", "dynamodb:PutItem", "table", ("PLATFORM#THROTTLE",))
    asked = list(ask_all([call], read_policies(sessions=True), read_policies(sessions=False)))
    assert [question.allowed for question in asked if question.call == call] == [True, True]


def test_evaluates_actions_without_keys() -> None:
    asked = list(ask_all([], read_policies(sessions=True), read_policies(sessions=False)))
    assert {question.call.action for question in asked} > {"dynamodb:Scan", "dynamodb:PartiQLSelect"}
    assert not any(question.allowed for question in asked)


def test_with_sessions_no_bound_function_has_a_statement_without_a_condition() -> None:
    policies = read_policies(sessions=True)
    for name in BOUND:
        for statement in policies[name]["Statement"]:
            if "secretsmanager" in str(statement["Action"]):
                continue
            crosses = "index/login" in str(statement["Resource"])
            assert crosses or "dynamodb:LeadingKeys" in str(statement["Condition"]), (name, statement)
    assert not any("Scan" in action for policy in policies.values() for action, _ in granted(policy))


def test_missing_node_is_reported_before_the_tests_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "")
    assert main([]) == 2
    assert capsys.readouterr().err == "iam: node and npm not found on PATH: install Node.js 20 or newer\n"
