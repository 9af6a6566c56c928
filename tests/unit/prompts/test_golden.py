"""The exact texts of templates and shipped prompts. A stored version must render the same bytes after every upgrade.

If a test fails after a change of the code or of Jinja, correct the code, not the expected text.
"""

from hashlib import sha256
from typing import Any

import pytest
from atrium.kernel.ids import PromptId
from atrium.prompts.model import Variable
from atrium.prompts.shipped import SHIPPED, find_shipped
from atrium.prompts.template import compile_template
from atrium.prompts.turns import render_version

BUILT_IN = {
    "agent": "Ada",
    "company": "Acme & Söhne",
    "capabilities": ["Evaluate an arithmetic expression", "Return the current time"],
    "tools": ["calculator", "current_time"],
    "user_name": "Grace <Hopper>",
    "time_zone": "Europe/Berlin",
    "language": "de",
    "date": "2026-11-29",
}
VARIABLES = (
    Variable("topic"),
    Variable("count", "integer"),
    Variable("rate", "number"),
    Variable("urgent", "boolean"),
    Variable("rules", "list"),
)
VALUES: dict[str, Any] = {"topic": " returns ", "count": 3, "rate": 0.1, "urgent": True, "rules": ["b", "a", "ß"]}
GOLDEN = [
    ("Plain text\n", "Plain text"),
    ("{{ company }}|{{ user_name }}", "Acme & Söhne|Grace <Hopper>"),
    ("{{ count }} {{ rate }} {{ urgent }} {{ rules }} {{ -1 }} {{ 1.5 }}", "3 0.1 true b, a, ß -1 1.5"),
    ("{% if urgent %}\nNow.\n{% else %}\nLater.\n{% endif %}\nEnd", "Now.\nEnd"),
    ("{% if count > 5 %}many{% elif count >= 3 and not urgent %}some{% else %}few{% endif %}", "few"),
    ("{% for rule in rules %}\n- {{ rule }}\n{% else %}\nnone\n{% endfor %}", "- b\n- a\n- ß\n"),
    ("{{ topic|trim|upper }} {{ rules|sort|join(', ') }} {{ rules|length }}", "RETURNS a, b, ß 3"),
    ("{{ rules|first }}{{ rules|last }}{{ rules|last|upper }} {{ 'ab cd'|title }} {{ 'ABC'|lower }}", "bßSS Ab Cd abc"),
    ("{{ 'long text'|truncate(4) }} {{ 'hELLO'|capitalize }}", "long… Hello"),
    ("{{ 'yes' if 'a' in rules else 'no' }} {{ count in [1, 2] }} {{ language not in ['en'] }}", "yes false true"),
    ("{# comment #}{% raw %}{{ raw }}{% endraw %}", "{{ raw }}"),
    ("  {% if true %}\n  indented\n  {% endif %}\n", "  indented\n"),
]
SHIPPED_DIGESTS = {
    "base": "1:17b98f6888707561",
    "customer_service": "1:6c204b2ae75365c1",
    "coding": "1:3d03c830b1a20295",
}


@pytest.mark.parametrize(("source", "text"), GOLDEN)
def test_renders_exactly(source: str, text: str) -> None:
    assert compile_template(source, VARIABLES).render(VALUES, BUILT_IN) == text


def test_an_optional_variable_without_a_value_can_be_replaced_or_tested() -> None:
    source = "{{ topic|default('all') }} {% if topic is defined %}a{% else %}b{% endif %} {{ topic is undefined }}"
    assert compile_template(source, VARIABLES).render({}, BUILT_IN) == "all b true"


@pytest.mark.parametrize("name", SHIPPED_DIGESTS)
def test_shipped_versions_render_exactly(name: str) -> None:
    shipped = find_shipped(name)
    assert shipped is not None
    text = render_version(shipped.newest, {}, BUILT_IN)
    assert f"{shipped.newest.version}:{sha256(text.encode()).hexdigest()[:16]}" == SHIPPED_DIGESTS[name]


@pytest.mark.parametrize("prompt", SHIPPED.values(), ids=lambda prompt: prompt.name)
def test_shipped_prompts_use_all_their_variables(prompt: Any) -> None:
    given = {each.name: ["Python"] if each.type == "list" else f"<{each.name}>" for each in prompt.newest.variables}
    text = render_version(prompt.newest, given, {**BUILT_IN, "tools": [], "capabilities": []})
    assert all((value if isinstance(value, str) else value[0]) in text for value in given.values())
    assert "# Tools" not in text
    assert "\n\n\n" not in text


def test_ids_of_shipped_prompts_stay() -> None:
    assert [(prompt.id, prompt.name) for prompt in SHIPPED.values()] == [
        (PromptId(f"prm_{number:026}"), name) for number, name in enumerate(("base", "customer_service", "coding"), 1)
    ]
