"""The evaluation of the policy that an authorizer returns."""

from typing import Any

import pytest

from infra.local.gateway.policies import PolicyInvalid, is_allowed

ARN = "arn:aws:execute-api:eu-central-1:123456789012:a1b2c3/dev/GET/v1/sessions/ses_1"


def statement(effect: str, resource: object, action: object = "execute-api:Invoke") -> dict[str, Any]:
    return {"Effect": effect, "Action": action, "Resource": resource}


def document(*statements: object) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": list(statements)}


@pytest.mark.parametrize(
    "resource",
    [ARN, "*", "arn:aws:execute-api:*:*:a1b2c3/dev/*", ["arn:x", ARN], ARN.replace("ses_1", "ses_?")],
)
def test_allowed(resource: object) -> None:
    assert is_allowed(document(statement("Allow", resource)), ARN)


def test_single_statement_needs_no_list() -> None:
    assert is_allowed({"Statement": statement("Allow", "*", ["execute-api:*"])}, ARN)


@pytest.mark.parametrize(
    "statements",
    [
        [statement("Deny", "*")],
        [statement("Allow", "*"), statement("Deny", ARN)],
        [statement("Allow", ARN + "2")],
        [statement("Allow", "*", "s3:GetObject")],
    ],
)
def test_denied(statements: list[object]) -> None:
    assert not is_allowed(document(*statements), ARN)


@pytest.mark.parametrize(
    "broken",
    [
        None,
        "Allow",
        {},
        {"Statement": []},
        document("x"),
        document({"Effect": "Allow"}),
        document(statement("Yes", "*")),
    ],
)
def test_no_policy(broken: object) -> None:
    with pytest.raises(PolicyInvalid):
        is_allowed(broken, ARN)
