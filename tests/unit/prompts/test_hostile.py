"""Hostile templates: each is refused with a reason, within 100 ms of CPU time."""

import time

import pytest
from atrium.prompts.model import PromptFault, Variable
from atrium.prompts.template import compile_template

VARIABLES = (Variable("name"), Variable("items", "list"), Variable("other", "list"), Variable("count", "integer"))
CPU_SECONDS_MAX = 0.1
NESTED = "{% for a in items %}{% for b in other %}"

# fmt: off
HOSTILE = {
    "attribute": "{{ name.__class__ }}",
    "attribute of a literal": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "attribute by filter": "{{ name|attr('__class__') }}",
    "attribute by map": "{{ items|map(attribute='__class__')|list }}",
    "item": "{{ name['__class__'] }}",
    "item of a list": "{{ items[0] }}",
    "slice": "{{ items[::-1] }}",
    "call": "{{ name() }}",
    "call of a method": "{{ name.format(1) }}",
    "globals": "{{ lipsum.__globals__['os'].popen('id').read() }}",
    "lipsum": "{{ lipsum(n=1000000) }}",
    "range": "{% for i in range(10**9) %}x{% endfor %}",
    "range as a variable": "{{ range }}",
    "cycler": "{{ cycler('a', 'b') }}",
    "joiner": "{{ joiner(',') }}",
    "namespace": "{% set ns = namespace(x=1) %}",
    "dict": "{{ dict(a=1) }}",
    "self": "{{ self }}",
    "self of a block": "{% block a %}{{ self.a() }}{% endblock %}",
    "loop": "{% for x in items %}{{ loop.index }}{% endfor %}",
    "loop object": "{% for x in items %}{{ loop }}{% endfor %}",
    "recursive loop": "{% for x in items recursive %}{{ loop(items) }}{% endfor %}",
    "recursive macro": "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "call block": "{% call name() %}x{% endcall %}",
    "multiplied text": "{{ 'a' * 10**9 }}",
    "multiplied list": "{{ items * 1000000 }}",
    "power": "{{ 9 ** 9 ** 9 }}",
    "shifted addition": "{{ count + 1 }}",
    "percent format": "{{ '%1000000000d' % count }}",
    "format filter": "{{ '%1000000000d'|format(count) }}",
    "concatenation": "{{ name ~ name ~ name }}",
    "set": "{% set x = name %}{{ x }}",
    "set block": "{% set x %}" + "a" * 30_000 + "{% endset %}{{ x }}{{ x }}",
    "with": "{% with x = name %}{{ x }}{% endwith %}",
    "include": "{% include '/etc/passwd' %}",
    "import": "{% import 'os' as os %}",
    "from import": "{% from 'os' import path %}",
    "extends": "{% extends 'base' %}",
    "filter block": "{% filter upper %}x{% endfilter %}",
    "replace": "{{ name|replace('a', 'aaaaaaaaaa')|replace('a', 'aaaaaaaaaa') }}",
    "center": "{{ name|center(1000000000) }}",
    "indent": "{{ name|indent(1000000000) }}",
    "batch": "{{ items|batch(1000000000, 'x')|list }}",
    "slice filter": "{{ items|slice(1000000000)|list }}",
    "wordwrap": "{{ name|wordwrap(1) }}",
    "urlize": "{{ name|urlize }}",
    "pprint": "{{ name|pprint }}",
    "tojson": "{{ name|tojson|tojson|tojson }}",
    "huge argument of a filter": "{{ name|truncate(1000000000000) }}",
    "huge text argument": "{{ name|default('" + "a" * 20_000 + "') }}",
    "argument that is a variable": "{{ items|join(name) }}",
    "argument by name": "{{ items|join(d=', ') }}",
    "arguments as a list": "{{ items|join(*items) }}",
    "loop over a text": "{% for x in name %}x{% endfor %}",
    "loop over a literal": "{% for x in [1, 2] %}x{% endfor %}",
    "loop over a filter": "{% for x in items|sort %}x{% endfor %}",
    "loop with a condition": "{% for x in items if x %}x{% endfor %}",
    "loop over a shadowed variable": "{% for name in items %}{{ name }}{% endfor %}",
    "two targets": "{% for x, y in items %}x{% endfor %}",
    "three nested loops": NESTED + "{% for c in items %}x{% endfor %}{% endfor %}{% endfor %}",
    "expensive nested loops": NESTED + "{{ a|upper }}" * 9 + "{% endfor %}{% endfor %}",
    "many loops": (NESTED + "{{ a }}{{ b }}{% endfor %}{% endfor %}") * 20,
    "membership in a text": "{% if 'a' in name %}x{% endif %}",
    "membership in a computed list": "{% if name in [name] %}x{% endif %}",
    "dictionary": "{{ {'a': 1} }}",
    "list": "{{ [1, 2, 3] }}",
    "unknown variable": "{{ secret }}",
    "unknown test": "{% if name is callable %}x{% endif %}",
    "test with an argument": "{% if name is sameas(none) %}x{% endif %}",
    "huge integer": "{{ " + "9" * 30_000 + " }}",
    "large integer": "{{ 99999999999999999999 }}",
    "infinite number": "{{ 1e999 }}",
    "nested brackets": "{{ " + "(" * 5_000 + "name" + ")" * 5_000 + " }}",
    "nested conditions": "{% if name %}" * 2_000 + "{% endif %}" * 2_000,
    "nested negations": "{{ " + "not " * 1_900 + "name }}",
    "nested signs": "{{ " + "-" * 3_900 + "1 }}",
    "nested filters": "{{ name" + "|upper" * 2_500 + " }}",
    "nested choices": "{{ " + "name if name else " * 1_700 + "name }}",
    "long comparison": "{{ name" + " == name" * 3_500 + " }}",
    "many expressions": "{{name}}" * 4_000,
    "open comments": "{#" * 16_000,
    "open raw blocks": "{% raw %}" * 3_500,
    "open text": "{{ '" + "\\" * 31_000,
    "spaces in a tag": "{%" + " " * 31_000,
    "lines in a tag": "{{" + "\n" * 31_000,
    "grouped digits": "{{ 1" + "_1" * 15_900 + " }}",
    "exponents": "{{ " + "1e1" * 10_000 + " }}",
    "surrogate in a literal": "{{ '\\ud800' }}",
    "full-width name": "{{ ｎame }}",
    "full-width attribute": "{{ name.＿＿class＿＿ }}",
    "escaped attribute": "{{ name|attr('\\x5f\\x5fclass\\x5f\\x5f') }}",
    "private use name": "{{ \ue000 }}",
    "right-to-left mark": "{{ na\u200fme }}",
    "autoescape": "{% autoescape true %}{{ name }}{% endautoescape %}",
    "debug": "{% debug %}",
    "do": "{% do name %}",
    "trans": "{% trans %}x{% endtrans %}",
    "too long": "a" * 32_001,
}
# fmt: on


@pytest.mark.parametrize("source", HOSTILE.values(), ids=HOSTILE.keys())
def test_refuses_a_hostile_template_quickly(source: str) -> None:
    begun = time.process_time()
    with pytest.raises(PromptFault) as refused:
        compile_template(source, VARIABLES)
    assert time.process_time() - begun < CPU_SECONDS_MAX
    assert refused.value.reason


def test_names_the_line_of_the_fault() -> None:
    with pytest.raises(PromptFault) as refused:
        compile_template("Hello\n\n{{ name }}\n{{ name.x }}", VARIABLES)
    assert refused.value.message == "line 4: attributes are not allowed"


@pytest.mark.parametrize(
    "source",
    [
        "{% for a in items %}{% for b in other %}{{ a }}{{ b }}{% endfor %}{% endfor %}",
        "{% for a in items %}{{ a|upper|lower|title|trim|capitalize }}{% endfor %}",
        "{{ name }}" * 13,
        "{{ items|join('" + "x" * 499 + "') }}",
    ],
)
def test_the_largest_allowed_renderings_end_quickly(source: str) -> None:
    compiled = compile_template(source, VARIABLES)
    values = {"name": "ß" * 4_000, "items": ["ß" * 300] * 100, "other": ["é" * 1] * 100}
    begun = time.process_time()
    with pytest.raises(PromptFault, match="at most 50,000 characters"):
        compiled.render(values, {})
    assert time.process_time() - begun < CPU_SECONDS_MAX


def test_a_loop_without_output_ends_quickly() -> None:
    source = "{% for a in items %}{% for b in other %}{% if a == b %}{% endif %}{% endfor %}{% endfor %}"
    compiled = compile_template(source, VARIABLES)
    begun = time.process_time()
    assert compiled.render({"items": ["é" * 500] * 100, "other": ["é" * 499 + "e"] * 100}, {}) == ""
    assert time.process_time() - begun < CPU_SECONDS_MAX


def test_values_are_not_templates() -> None:
    compiled = compile_template("{{ name }}", VARIABLES)
    assert compiled.render({"name": "{{ items }} {% for %}"}, {}) == "{{ items }} {% for %}"
