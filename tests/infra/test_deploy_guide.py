"""The deployment guide lists every parameter with the template's default."""

import re

from infra.runtime.template import ROOT, Document

ROW = re.compile(r"^\| `(?P<name>\w+)` \| (?:`(?P<default>[^`]*)` )?\|", re.MULTILINE)


def test_idle_cost_is_complete(template: Document) -> None:
    """The table of idle cost has a row for each kind of resource with a fixed price."""
    guide = (ROOT / "infra" / "docs" / "deploy.md").read_text()
    kinds = [resource["Type"] for resource in template["Resources"].values()]
    prices = {"AWS::KMS::Key": 1.0, "AWS::SecretsManager::Secret": 0.4, "AWS::CloudWatch::Alarm": 0.1}
    named = {"AWS::KMS::Key": "KMS keys", "AWS::SecretsManager::Secret": "secrets", "AWS::CloudWatch::Alarm": "alarms"}

    for kind, price in prices.items():
        count = kinds.count(kind)
        assert f"| {count} {named[kind]} | ${count * price:.2f}" in guide
    total = sum(kinds.count(kind) * price for kind, price in prices.items())
    assert f"| **sum** | **${total + 0.1:.2f}** |" in guide


def test_every_parameter_and_its_default_are_listed(template: Document) -> None:
    guide = (ROOT / "infra" / "docs" / "deploy.md").read_text()

    listed = {row["name"]: row["default"] or "" for row in ROW.finditer(guide)}

    assert listed == {name: str(item["Default"]) for name, item in template["Parameters"].items()}
