"""The guide's table of plans matches the plans."""

import re

from atrium.tenants.plans import PLANS

from infra.runtime.template import ROOT

ROW = re.compile(r"\| `(\w+)` \| ([-\d ]+) \| ([-\d ]+) \| ([-\d ]+) \| ([-\d ]+) \|")


def test_the_guide_matches_the_plans() -> None:
    rows = ROW.findall((ROOT / "infra/docs/limits.md").read_text())
    told = {name: [int(figure.replace(" ", "")) for figure in figures] for name, *figures in rows}
    assert told == {name: [int(plan.limits[name]) for plan in PLANS.values()] for name in PLANS["free"].limits}
