"""The guide's tables match the tables of limits and of plans."""

import re

from atrium.quotas.limits import DEFINITIONS
from atrium.tenants.plans import PLANS

from infra.runtime.template import ROOT

GUIDE = (ROOT / "infra/docs/limits.md").read_text()
ROW = re.compile(r"\| `(\w+)` \| ([-\d ]+) \| ([-\d ]+) \| ([-\d ]+) \| ([-\d ]+) \|")


def test_the_guide_says_what_the_plans_say() -> None:
    rows = ROW.findall(GUIDE)
    told = {name: [int(figure.replace(" ", "")) for figure in figures] for name, *figures in rows}
    assert told == {name: [int(plan.limits[name]) for plan in PLANS.values()] for name in PLANS["free"].limits}


def test_the_plans_have_only_limits_of_the_table() -> None:
    assert [name for name in PLANS["free"].limits if name not in DEFINITIONS] == []


def test_the_guide_says_what_each_limit_of_turns_counts() -> None:
    section = GUIDE.partition("## What counts")[2].partition("\n## ")[0]
    told = {
        name for row in re.findall(r"^\| (`.+?`) \|", section, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)
    }
    assert told == {name for name, each in DEFINITIONS.items() if each.place != "counts"}
