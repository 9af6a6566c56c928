"""Alarms for every kind of failure. Each alarm watches an existing metric, notifies the topic, and has a runbook."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.checks.policies import referred
from infra.checks.routes import functions_of
from infra.runtime.template import ROOT, Document, Resolver, read_template

RUNBOOK = ROOT / "infra" / "docs" / "alarms.md"
TOPIC = "arn:aws:sns:eu-central-1:123456789012:on-call"
# Every 401 counts as an error of the authorizer function. If the function fails, the gateway returns 503.
WITHOUT_ERRORS_ALARM = {"AuthorizerFunction"}
# The runtime creates the model provider in this module, which counts the provider's metric.
SHARED = ROOT / "layers" / "core" / "atrium" / "bootstrap.py"


def _alarms(template: Document) -> Iterator[tuple[str, Document]]:
    for name, resource in template["Resources"].items():
        if resource["Type"] == "AWS::CloudWatch::Alarm":
            yield name, resource["Properties"]


def _watched(template: Document, namespace: str, metric: str) -> set[str]:
    return {
        referred(alarm["Dimensions"][0]["Value"])
        for _, alarm in _alarms(template)
        if (alarm["Namespace"], alarm["MetricName"]) == (namespace, metric)
    }


def _of_type(template: Document, kind: str) -> set[str]:
    return {name for name, item in template["Resources"].items() if item["Type"] == kind}


ALARMS = dict(_alarms(read_template()))
OWN = {name: alarm for name, alarm in ALARMS.items() if alarm["Namespace"] == "Atrium"}


def test_every_function_has_alarms_on_errors_and_throttles(template: Document) -> None:
    functions = set(functions_of(template))

    assert _watched(template, "AWS/Lambda", "Throttles") == functions
    assert _watched(template, "AWS/Lambda", "Errors") == functions - WITHOUT_ERRORS_ALARM


def test_every_dead_letter_queue_has_an_alarm(template: Document) -> None:
    queues = {name for name in _of_type(template, "AWS::SQS::Queue") if name.endswith("DeadLetters")}

    assert _watched(template, "AWS/SQS", "ApproximateNumberOfMessagesVisible") == queues


def test_the_runbook_says_of_every_dead_letter_queue_what_to_do(template: Document) -> None:
    queues = {name for name in _of_type(template, "AWS::SQS::Queue") if name.endswith("DeadLetters")}
    rows = re.findall(r"^\| ((?:\w+DeadLetters(?:, )?)+) \|", RUNBOOK.read_text(), re.MULTILINE)

    assert {name for row in rows for name in row.split(", ")} == queues


def test_every_consumer_of_the_stream_has_an_alarm_on_its_delay(template: Document) -> None:
    consumers = {
        name
        for name, properties in functions_of(template).items()
        if any(event["Type"] == "DynamoDB" for event in properties.get("Events", {}).values())
    }

    assert _watched(template, "AWS/Lambda", "IteratorAge") == consumers


def test_every_scheduled_function_has_an_alarm_when_it_does_not_run(template: Document) -> None:
    scheduled = {
        name
        for name, properties in functions_of(template).items()
        if any(event["Type"] == "Schedule" for event in properties.get("Events", {}).values())
    }

    assert _watched(template, "AWS/Lambda", "Invocations") == scheduled
    for _, alarm in _alarms(template):
        if alarm["MetricName"] == "Invocations":
            assert alarm["TreatMissingData"] == "breaching"


def test_the_api_has_an_alarm_on_server_errors(template: Document) -> None:
    """The metrics of the API have its name as a dimension. The template must set the name, or SAM generates one."""
    alarm = Resolver(template).resolve(ALARMS["ServerErrorsAlarm"])
    api = Resolver(template).resolve(template["Resources"]["Api"]["Properties"])

    dimensions = {each["Name"]: each["Value"] for each in alarm["Dimensions"]}
    assert dimensions == {"ApiName": api["Name"], "Stage": api["StageName"]}


@pytest.mark.parametrize(("name", "alarm"), OWN.items(), ids=OWN)
def test_a_metric_of_our_own_is_counted_by_the_function_that_the_alarm_names(name: str, alarm: Document) -> None:
    (dimension,) = alarm["Dimensions"]
    template = read_template()
    folders = [
        Path(ROOT, properties["CodeUri"])
        for properties in functions_of(template).values()
        if properties["Environment"]["Variables"].get("POWERTOOLS_SERVICE_NAME") == dimension["Value"]
    ]
    code = "".join(path.read_text() for folder in folders for path in folder.glob("*.py")) + SHARED.read_text()

    assert folders, name
    assert f'"{alarm["MetricName"]}"' in code


@pytest.mark.parametrize(("name", "alarm"), ALARMS.items(), ids=ALARMS)
def test_an_alarm_names_its_section_of_the_runbook(name: str, alarm: Document) -> None:
    named = re.search(r" infra/docs/alarms\.md#(\w+)$", alarm["AlarmDescription"])

    assert named is not None
    assert name.endswith(named[1])
    assert f"\n## {named[1]}\n" in RUNBOOK.read_text()


@pytest.mark.parametrize(
    ("parameters", "topics"),
    [
        ({"AlarmTopicArn": TOPIC}, [TOPIC]),
        ({"AlarmEmail": "on-call@example.com"}, ["AlarmTopic"]),
        ({"AlarmTopicArn": TOPIC, "AlarmEmail": "on-call@example.com"}, [TOPIC]),
        ({}, []),
    ],
    ids=["topic", "email", "both", "neither"],
)
def test_every_alarm_reaches_the_topic(template: Document, parameters: dict[str, str], topics: list[str]) -> None:
    resolver = Resolver(template, parameters)

    for name, alarm in _alarms(template):
        resolved = resolver.resolve(alarm)
        assert resolved["AlarmActions"] == topics, name
        assert resolved["OKActions"] == topics, name
    assert resolver.holds("CreatesAlarmTopic") is (topics == ["AlarmTopic"])
