"""Each check passes on the template, and reports the defect for which it was written."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from infra.checks.template import check_template
from infra.runtime.template import Document


def test_the_template_passes_every_check(template: Document) -> None:
    assert list(check_template(template)) == []


@dataclass(frozen=True)
class Break:
    """A change to the template, and a part of the text that a check must then report."""

    finding: str
    change: Callable[[Document], object]


def _properties(template: Document, logical_id: str) -> Document:
    properties: Document = template["Resources"][logical_id]["Properties"]
    return properties


def _event(template: Document, function: str, event: str) -> Document:
    found: Document = _properties(template, function)["Events"][event]["Properties"]
    return found


def _statements(template: Document, role: str) -> list[Document]:
    found: list[Document] = _properties(template, role)["Policies"][0]["PolicyDocument"]["Statement"]
    return found


def _refusal(template: Document, name: str) -> Document:
    found: Document = _properties(template, "Api")["GatewayResponses"][name]
    return found


def _set(target: Callable[[Document], Document], key: str, value: Any) -> Callable[[Document], object]:
    return lambda template: target(template).__setitem__(key, value)


def _drop(target: Callable[[Document], Document], key: str) -> Callable[[Document], object]:
    return lambda template: target(template).pop(key)


def _forty_one_events(template: Document) -> None:
    events = _properties(template, "AdminFunction")["Events"]
    for number in range(41 - len(events)):
        events[f"More{number}"] = {"Type": "Api", "Properties": {"Method": "GET", "Path": f"/v1/more/{number}"}}


def _rewrite_body(name: str, old: str, new: str) -> Callable[[Document], object]:
    def change(template: Document) -> None:
        response = _refusal(template, name)
        text, own = response["ResponseTemplates"]["application/json"]["Fn::Sub"]
        assert old in text
        response["ResponseTemplates"] = {"application/json": {"Fn::Sub": [text.replace(old, new), own]}}

    return change


def _rewrite_headers(name: str, **headers: str | None) -> Callable[[Document], object]:
    def change(template: Document) -> None:
        response = _refusal(template, name)
        changed = {**response["ResponseParameters"]["Headers"], **headers}
        kept = {header: value for header, value in changed.items() if value is not None}
        response["ResponseParameters"] = {"Headers": kept}

    return change


def _consumer(template: Document) -> None:
    """Configure the sweeper, which sends to the jobs queue, correctly as a consumer of the queue."""
    sweep = _properties(template, "SweepFunction")
    sweep["Events"]["Jobs"] = {
        "Type": "SQS",
        "Properties": {
            "Queue": {"Fn::GetAtt": ["JobsQueue", "Arn"]},
            "FunctionResponseTypes": ["ReportBatchItemFailures"],
        },
    }
    actions = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"]
    queue = {"Fn::GetAtt": ["JobsQueue", "Arn"]}
    _statements(template, "SweepRole").append({"Sid": "Jobs", "Effect": "Allow", "Action": actions, "Resource": queue})


def test_a_complete_consumer_passes(template: Document) -> None:
    _consumer(template)
    assert list(check_template(template)) == []


def _break_consumer(change: Callable[[Document], object]) -> Callable[[Document], object]:
    def broken(template: Document) -> None:
        _consumer(template)
        change(template)

    return broken


def _named_statement(template: Document, role: str, sid: str) -> Document:
    return next(each for each in _statements(template, role) if each.get("Sid") == sid)


def _without_action(role: str, sid: str, action: str) -> Callable[[Document], object]:
    def change(template: Document) -> None:
        statement = _named_statement(template, role, sid)
        statement["Action"] = [each for each in statement["Action"] if each != action]

    return change


BREAKS = [
    Break(
        "one failed message repeats the whole batch",
        _break_consumer(_drop(lambda t: _event(t, "SweepFunction", "Jobs"), "FunctionResponseTypes")),
    ),
    Break(
        "SweepFunction: its SQS event names no queue of the template",
        _break_consumer(_set(lambda t: _event(t, "SweepFunction", "Jobs"), "Queue", "arn:aws:sqs:eu:1:other")),
    ),
    Break(
        "SweepFunction: JobsQueue: VisibilityTimeout must be at least 5406, 6 times",
        _break_consumer(_set(lambda t: _properties(t, "SweepFunction"), "Timeout", 901)),
    ),
    Break(
        "SweepFunction: JobsQueue: RedrivePolicy must name a queue",
        _break_consumer(_drop(lambda t: _properties(t, "JobsQueue"), "RedrivePolicy")),
    ),
    Break(
        "SweepFunction: its role may not consume JobsQueue",
        _break_consumer(_without_action("SweepRole", "Jobs", "sqs:DeleteMessage")),
    ),
    Break(
        "SweepFunction: its role may not send to JobsQueue",
        lambda t: _statements(t, "SweepRole").remove(_named_statement(t, "SweepRole", "RunsToResume")),
    ),
    Break(
        "SweepFunction: its role may send to JobsQueue, which it does not name",
        _break_consumer(_drop(lambda t: _properties(t, "SweepFunction")["Environment"]["Variables"], "JOBS_QUEUE_URL")),
    ),
    Break(
        "SweepFunction: its role may consume JobsQueue, which it does not name",
        _break_consumer(_drop(lambda t: _properties(t, "SweepFunction")["Events"], "Jobs")),
    ),
    Break(
        "SweepFunction: its role may not use the key of its queue",
        _break_consumer(_without_action("SweepRole", "QueueKey", "kms:Decrypt")),
    ),
    Break("JobsQueue is in no queue policy", lambda t: _properties(t, "QueuesPolicy")["Queues"].pop(0)),
    Break(
        "POST /v1/chat needs ResponseTransferMode",
        _drop(lambda t: _event(t, "ChatFunction", "Chat"), "TimeoutInMillis"),
    ),
    Break(
        "GET /v1/runs needs ResponseTransferMode",
        _drop(lambda t: _event(t, "ChatFunction", "ListRuns"), "ResponseTransferMode"),
    ),
    Break(
        "GET /v1/usage of UsageFunction must be buffered",
        _set(lambda t: _event(t, "UsageFunction", "ReadUsage"), "TimeoutInMillis", 900_000),
    ),
    Break("AdminFunction has 41 Api events, 40 at most", _forty_one_events),
    Break(
        "GET /v1/agents is declared 2 times",
        _set(lambda t: _event(t, "AdminFunction", "ListKeys"), "Path", "/v1/agents"),
    ),
    Break("name the methods", _set(lambda t: _event(t, "UsageFunction", "ReadUsage"), "Method", "any")),
    Break(
        "a preflight has no credential",
        _drop(lambda t: _properties(t, "Api")["Auth"], "AddDefaultAuthorizerToCorsPreflight"),
    ),
    Break("no default authorizer", _drop(lambda t: _properties(t, "Api")["Auth"], "DefaultAuthorizer")),
    Break(
        "no identity source and no cache",
        _set(
            lambda t: _properties(t, "Api")["Auth"]["Authorizers"]["CredentialAuthorizer"],
            "Identity",
            {"Headers": ["Authorization"]},
        ),
    ),
    Break("GET /v1/health is public", _drop(lambda t: _event(t, "ConsoleFunction", "Health"), "Auth")),
    Break(
        "GET /v1/usage must have the default authorizer, not NONE",
        _set(lambda t: _event(t, "UsageFunction", "ReadUsage"), "Auth", {"Authorizer": "NONE"}),
    ),
    Break(
        "GET /v1/openapi.json is public and missing",
        _drop(lambda t: _properties(t, "ConsoleFunction")["Events"], "Contract"),
    ),
    Break(
        "HEAD /v1/openapi.json is public and missing",
        _drop(lambda t: _properties(t, "ConsoleFunction")["Events"], "ContractHead"),
    ),
    Break("ChatFunction has no log group", _drop(lambda t: _properties(t, "ChatFunction"), "LoggingConfig")),
    Break("ChatLogs never deletes its logs", _drop(lambda t: _properties(t, "ChatLogs"), "RetentionInDays")),
    Break(
        "ChatLogs is shared by 2 functions",
        _set(lambda t: _properties(t, "UsageFunction"), "LoggingConfig", {"LogGroup": {"Ref": "ChatLogs"}}),
    ),
    Break("UsageFunction has no role of its own", _drop(lambda t: _properties(t, "UsageFunction"), "Role")),
    Break(
        "ChatRole is shared by 2 functions",
        _set(lambda t: _properties(t, "UsageFunction"), "Role", {"Fn::GetAtt": ["ChatRole", "Arn"]}),
    ),
    Break(
        "UsageRole has managed policies",
        _set(lambda t: _properties(t, "UsageRole"), "ManagedPolicyArns", ["arn:aws:iam::aws:policy/ReadOnlyAccess"]),
    ),
    Break(
        "dynamodb:* is too broad",
        lambda t: _statements(t, "UsageRole").append(_statement("dynamodb:*", "${Table.Arn}")),
    ),
    Break(
        "dynamodb:Scan is too broad",
        lambda t: _statements(t, "UsageRole").append(_statement("dynamodb:Scan", "${Table.Arn}")),
    ),
    Break(
        "all resources for s3:GetObject",
        lambda t: _statements(t, "UsageRole").append(_statement("s3:GetObject")),
    ),
    Break(
        "${Table.Arn}/index/* is a wildcard",
        lambda t: _statements(t, "UsageRole").append(_statement("dynamodb:Query", "${Table.Arn}/index/*")),
    ),
    Break(
        "${Table}/index/sweep crosses tenants and is reserved for SweepRole",
        lambda t: _statements(t, "UsageRole").append(_statement("dynamodb:Query", "${Table}/index/sweep")),
    ),
    Break(
        "SweepFunction names CursorSecret but its role cannot read it",
        _set(
            lambda t: _properties(t, "SweepFunction")["Environment"]["Variables"],
            "CURSOR_SECRET_ARN",
            {"Ref": "CursorSecret"},
        ),
    ),
    Break(
        "ChatFunction may read ModelSecret but does not name it",
        _drop(lambda t: _properties(t, "ChatFunction")["Environment"]["Variables"], "MODEL_SECRET_ARN"),
    ),
    Break(
        "SweepFunction: BLOBS_BUCKET and the role's actions on S3 go together",
        _drop(lambda t: _properties(t, "SweepFunction")["Environment"]["Variables"], "BLOBS_BUCKET"),
    ),
    Break("THROTTLED has no gateway response", _drop(lambda t: _properties(t, "Api")["GatewayResponses"], "THROTTLED")),
    Break(
        "TEAPOT is no gateway response",
        _set(lambda t: _properties(t, "Api")["GatewayResponses"], "TEAPOT", {"StatusCode": "418"}),
    ),
    Break("UNAUTHORIZED: UNKNOWN with status 401", _rewrite_body("UNAUTHORIZED", '"UNAUTHENTICATED"', '"UNKNOWN"')),
    Break("UNAUTHORIZED: the body template", _rewrite_body("UNAUTHORIZED", '"retryable":false}', '"retryable":fa')),
    Break("UNAUTHORIZED: title must be", _rewrite_body("UNAUTHORIZED", "not valid", "wrong")),
    Break("THROTTLED: retryable must be True", _rewrite_body("THROTTLED", '"retryable":true', '"retryable":false')),
    Break(
        "MISSING_AUTHENTICATION_TOKEN: NOT_FOUND with status 403",
        _set(lambda t: _refusal(t, "MISSING_AUTHENTICATION_TOKEN"), "StatusCode", "403"),
    ),
    Break(
        "UNAUTHORIZED: header WWW-Authenticate must be",
        _rewrite_headers("UNAUTHORIZED", **{"WWW-Authenticate": "'Basic'"}),
    ),
    Break(
        "AUTHORIZER_FAILURE: header Retry-After must be",
        _rewrite_headers("AUTHORIZER_FAILURE", **{"Retry-After": None}),
    ),
    Break(
        "header Access-Control-Allow-Origin is missing",
        _rewrite_headers("THROTTLED", **{"Access-Control-Allow-Origin": None}),
    ),
    Break("Table: DeletionPolicy must be", _set(lambda t: t["Resources"]["Table"], "DeletionPolicy", "Delete")),
    Break("BlobsBucket: Metadata must change", _drop(lambda t: t["Resources"]["BlobsBucket"], "Metadata")),
    Break(
        "ConsoleFunction may read ModelSecret but does not name it",
        _drop(lambda t: _properties(t, "ConsoleFunction")["Environment"]["Variables"], "MODEL_SECRET_ARN"),
    ),
    Break("DataKey: UpdateReplacePolicy must be", _drop(lambda t: t["Resources"]["DataKey"], "UpdateReplacePolicy")),
    Break(
        "Table: DeletionProtectionEnabled must be True",
        _drop(lambda t: _properties(t, "Table"), "DeletionProtectionEnabled"),
    ),
    Break("BlobsBucket: BucketEncryption", _drop(lambda t: _properties(t, "BlobsBucket"), "BucketEncryption")),
    Break("JobsQueue: KmsMasterKeyId", _drop(lambda t: _properties(t, "JobsQueue"), "KmsMasterKeyId")),
    Break(
        "PepperSecret: a secret is created empty",
        _set(lambda t: _properties(t, "PepperSecret"), "GenerateSecretString", {}),
    ),
]


def _statement(action: str, resource: str = "*") -> Document:
    named = resource if resource == "*" else {"Fn::Sub": resource}
    return {"Sid": "Extra", "Effect": "Allow", "Action": action, "Resource": named}


@pytest.mark.parametrize("broken", BREAKS, ids=lambda broken: str(broken.finding))
def test_a_broken_template_is_found(template: Document, broken: Break) -> None:
    broken.change(template)

    findings = list(check_template(template))

    assert [line for line in findings if broken.finding in line], findings
