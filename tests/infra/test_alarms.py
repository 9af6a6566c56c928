"""Every alarm's metric is emitted by the function that it names; an alarm on a missing metric would never fire."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.checks.routes import functions_of
from infra.runtime.template import ROOT, Document, read_template


def _alarms() -> Iterator[tuple[str, Document]]:
    for name, resource in read_template()["Resources"].items():
        if resource["Type"] == "AWS::CloudWatch::Alarm":
            yield name, resource["Properties"]


def _code_of(template: Document, service: str) -> str:
    folders = [
        Path(ROOT, properties["CodeUri"])
        for properties in functions_of(template).values()
        if properties["Environment"]["Variables"].get("POWERTOOLS_SERVICE_NAME") == service
    ]
    return "".join(path.read_text() for folder in folders for path in folder.glob("*.py"))


@pytest.mark.parametrize(("name", "alarm"), [*_alarms()], ids=[name for name, _ in _alarms()])
def test_what_an_alarm_watches_is_counted(template: Document, name: str, alarm: Document) -> None:
    (dimension,) = alarm["Dimensions"]
    assert (alarm["Namespace"], dimension["Name"]) == ("Atrium", "service")
    assert f'"{alarm["MetricName"]}"' in _code_of(template, dimension["Value"])
    assert any(name in page.read_text() for page in Path(ROOT, "infra/docs").glob("*.md")), "no page says what to do"
