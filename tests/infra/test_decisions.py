"""The index of the architecture decisions lists every decision once."""

import re

from infra.runtime.template import ROOT

FOLDER = ROOT / "infra" / "decisions"


def test_index_lists_every_decision_once() -> None:
    listed = re.findall(
        r"^\| \[(\d{4})\]\((\d{4}-[a-z0-9-]+\.md)\) \|", (FOLDER / "README.md").read_text(), re.MULTILINE
    )
    assert [name for _, name in listed] == sorted(file.name for file in FOLDER.glob("[0-9]*.md"))
    assert all(name.startswith(number) for number, name in listed)
