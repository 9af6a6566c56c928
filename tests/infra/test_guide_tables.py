"""Tables of the guides match the data: limits, plans, models and prices."""

import re
from datetime import UTC, datetime

from atrium.datasets import worker
from atrium.identity.social.descriptions import DESCRIPTIONS
from atrium.llm.catalogue import MODELS, ModelOptions, Rates, find_price
from atrium.quotas.limits import DEFINITIONS
from atrium.tenants.plans import PLANS

from infra.runtime.template import ROOT

NOW = datetime(2026, 11, 28, tzinfo=UTC)
GUIDE = (ROOT / "infra/docs/limits.md").read_text()
MODELS_GUIDE = (ROOT / "infra/docs/models.md").read_text()
ROW = re.compile(r"\| `(\w+)` \| ([-\d ]+) \| ([-\d ]+) \| ([-\d ]+) \| ([-\d ]+) \|")


def test_the_guide_says_what_the_plans_say() -> None:
    rows = ROW.findall(GUIDE)
    told = {name: [int(figure.replace(" ", "")) for figure in figures] for name, *figures in rows}
    assert told == {name: [int(plan.limits[name]) for plan in PLANS.values()] for name in PLANS["free"].limits}


def test_the_guide_of_metrics_lists_every_metric() -> None:
    """A metric is written by `count("Name")`, `add_metric("Name", …)` or a dictionary in `http/logs.py`."""
    written = re.compile(r'(?:\bcount\(|count, |add_metric\()"(\w+)"')
    sources = [*(ROOT / "functions").rglob("*.py"), *(ROOT / "layers/core").rglob("*.py")]
    names = {name for source in sources for name in written.findall(source.read_text(encoding="utf-8"))}
    logs = (ROOT / "layers/core/atrium/http/logs.py").read_text(encoding="utf-8")
    names |= set(re.findall(r'"([A-Z][a-z]\w+)"(?:: |, \(?(?:call|run)\b)', logs))
    rows = re.findall(r"^\| (`[A-Z].*?) \|", (ROOT / "infra/docs/metrics.md").read_text(encoding="utf-8"), re.MULTILINE)
    listed = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert len(names) > 15
    assert listed == names


def test_the_guide_of_data_sets_lists_every_function() -> None:
    guide = (ROOT / "infra/docs/datasets.md").read_text()
    assert guide.partition("```text\n")[2].partition("```")[0].split() == sorted(worker.FUNCTIONS)


def test_the_guide_of_connections_lists_the_hosts_of_each_provider() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (`\S+\..+) \|$", (ROOT / "infra/docs/connections.md").read_text(), re.MULTILINE)
    assert {name: tuple(re.findall(r"`(\S+)`", hosts)) for name, hosts in rows} == {
        name: each.api_hosts for name, each in DESCRIPTIONS.items()
    }


def test_the_plans_have_only_limits_of_the_table() -> None:
    assert [name for name in PLANS["free"].limits if name not in DEFINITIONS] == []


def test_the_guide_says_what_each_limit_of_turns_counts() -> None:
    section = GUIDE.partition("## What counts")[2].partition("\n## ")[0]
    told = {
        name for row in re.findall(r"^\| (`.+?`) \|", section, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)
    }
    assert told == set(DEFINITIONS)


def test_the_guide_of_models_says_what_the_catalogue_says() -> None:
    rows = re.findall(r"^\| `((?:claude|gpt|glm)\S+)` \| ([\w ]+) \| ([\d. |]+) \|$", MODELS_GUIDE, re.MULTILINE)
    expected = []
    for model in MODELS.values():
        plans = [name for name, plan in PLANS.items() if model.size in plan.models]
        included = "all" if len(plans) == len(PLANS) else f"{plans[0]} and up"
        expected.append((model.id, included, _shown(find_price(model.id, NOW).rates)))
    assert rows == expected


def test_the_guide_of_models_says_what_long_prompts_cost() -> None:
    rows = re.findall(r"^\| – prompt over ([\d ]+) tokens \| \| (.+) \|$", MODELS_GUIDE, re.MULTILINE)
    prices = [find_price(model, NOW) for model in MODELS]
    assert rows == [
        (f"{price.long_prompt_tokens:,}".replace(",", " "), _shown(price.long_rates))
        for price in prices
        if price.long_rates
    ]


def test_the_guide_of_models_says_which_options_each_model_accepts() -> None:
    section = MODELS_GUIDE.partition("## Options of a call")[2].partition("\n## ")[0]
    table = [re.findall(r" (.+?) \|", line) for line in section.splitlines() if line.startswith("| ")]
    columns = zip(*table, strict=True)
    next(columns)
    told = {name.strip("`"): cells for name, *cells in columns}
    assert told == {model.id: _options_of(model.options) for model in MODELS.values()}


def _options_of(options: ModelOptions) -> list[str]:
    sampling = "without thinking" if options.samples_only_without_thinking else "yes"
    efforts = ", ".join(options.efforts) if len(options.efforts) < 5 else "low to max"
    stops = f"{options.stop_sequences_max}{', without thinking' if options.samples_only_without_thinking else ''}"
    return [
        "yes" if options.forces_tools else "no",
        "yes" if options.limits_tool_calls else "no",
        "yes" if options.thinking_off else "no",
        efforts,
        sampling if {"temperature", "top_p"} <= set(options.sampling) else "no",
        sampling if "seed" in options.sampling else "no",
        stops,
        "enforced" if options.enforces_schemas else "in the prompt",
    ]


def _shown(rates: Rates) -> str:
    return " | ".join(str(each) for each in (rates.input, rates.output, rates.cache_read, rates.cache_write))
