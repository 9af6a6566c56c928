"""The guide lists every parameter with the default that the template has."""

import re

from infra.runtime.template import ROOT, Document

ROW = re.compile(r"^\| `(?P<name>\w+)` \| (?:`(?P<default>[^`]*)` )?\|", re.MULTILINE)


def test_every_parameter_and_its_default_are_listed(template: Document) -> None:
    guide = (ROOT / "infra" / "docs" / "deploy.md").read_text()

    listed = {row["name"]: row["default"] or "" for row in ROW.finditer(guide)}

    assert listed == {name: str(item["Default"]) for name, item in template["Parameters"].items()}
