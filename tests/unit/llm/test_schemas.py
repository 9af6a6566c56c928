"""Output schemas: hostile ones are rejected, and the form that Claude's API enforces means the same."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from atrium.llm.model import ModelMessage, ModelRequest, OutputSchema, Text
from atrium.llm.normalise import DEPTH_MAX
from atrium.llm.schemas import SCHEMA_BYTES_MAX, enforceable, find_problem, instruct
from atrium.llm.tokens import bound_tokens
from hypothesis import example, given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

STRING: dict[str, Any] = {"type": "string"}
CLOSED: dict[str, Any] = {"type": "object", "properties": {"a": STRING}, "required": ["a"]}
CLOSED |= {"additionalProperties": False}


def schema_of(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


def problem_of(schema: Any, **fields: Any) -> str:
    return find_problem(OutputSchema(**{"name": "answer", "schema": schema, **fields}))


def deep(levels: int) -> dict[str, Any]:
    """Return a schema with this number of nested objects."""
    schema: dict[str, Any] = {"type": "object"}
    for _ in range(levels - 1):
        schema = {"type": "object", "additionalProperties": schema}
    return schema


HOSTILE: list[tuple[Any, str]] = [
    ({}, "`object`"),
    ({"type": "array", "items": STRING}, "`object`"),
    ({"type": ["object", "null"]}, "`object`"),
    (deep(DEPTH_MAX + 1), "nested"),
    (deep(20_000), "nested"),
    (schema_of(a={"const": float("nan")}), "valid JSON"),
    (schema_of(a={"const": 10**400}), "valid JSON"),
    (schema_of(a={"const": "\ud800"}), "valid JSON"),
    (schema_of(a={"const": {1: 2}}), "valid JSON"),
    (schema_of(a={"const": object()}), "valid JSON"),
    (schema_of(a={"description": "x" * SCHEMA_BYTES_MAX}), "bytes"),
    (schema_of(a=1), "JSON Schema"),
    (schema_of(a=None), "JSON Schema"),
    (schema_of(a={"type": "text"}), "JSON Schema"),
    (schema_of(a={"type": 1}), "JSON Schema"),
    (schema_of(a={"type": [["string"]]}), "JSON Schema"),
    (schema_of(a={"type": [{}]}), "JSON Schema"),
    (schema_of(a={"enum": "a"}), "JSON Schema"),
    (schema_of(a={"anyOf": {"a": STRING}}), "JSON Schema"),
    (schema_of(a={"anyOf": [1]}), "JSON Schema"),
    (schema_of(a={"items": [STRING]}), "JSON Schema"),
    (schema_of(a={"type": "string", "description": 1}), "JSON Schema"),
    (schema_of(a={"type": "string", "format": []}), "JSON Schema"),
    (schema_of(a={"$ref": "http://169.254.169.254/schema"}), "JSON Schema"),
    (schema_of(a={"$ref": 1}), "JSON Schema"),
    ({"type": "object", "properties": []}, "JSON Schema"),
    ({"type": "object", "required": "a"}, "JSON Schema"),
    ({"type": "object", "required": [1]}, "JSON Schema"),
    ({"type": "object", "required": ["a", "a"]}, "JSON Schema"),
    ({"type": "object", "$defs": [STRING]}, "JSON Schema"),
    ({"type": "object", "$defs": {"a": {"properties": 1}}}, "JSON Schema"),
]


@pytest.mark.parametrize(("schema", "words"), HOSTILE)
def test_a_hostile_schema_is_rejected(schema: Any, words: str) -> None:
    assert words in problem_of(schema)


@pytest.mark.parametrize("name", ["", "a b", "x" * 65, "é"])
def test_a_name_is_one_that_vendors_accept(name: str) -> None:
    assert "name" in problem_of(CLOSED, name=name)


def test_a_description_counts_to_the_size() -> None:
    assert problem_of(CLOSED, description="x" * (SCHEMA_BYTES_MAX - 1_000)) == ""
    assert "bytes" in problem_of(CLOSED, description="x" * SCHEMA_BYTES_MAX)


@pytest.mark.parametrize(
    "schema",
    [
        CLOSED,
        deep(DEPTH_MAX),
        schema_of(a={"enum": [1, None, "x"]}, b=True, c={}),
        schema_of(a={"type": ["string", "null"], "default": {"type": 1}, "examples": [{"$ref": 1}]}),
        schema_of(a={"$ref": "#"}),
    ],
)
def test_a_valid_schema_has_no_problem(schema: dict[str, Any]) -> None:
    assert problem_of(schema) == ""


@pytest.mark.parametrize(
    "schema",
    [
        schema_of(a=STRING),
        CLOSED | {"additionalProperties": True},
        CLOSED | {"required": []},
        CLOSED | {"properties": {"a": schema_of(b=STRING)}},
        CLOSED | {"properties": {"a": {"anyOf": [{"type": "null"}, {"type": ["object", "null"]}]}}},
        CLOSED | {"$defs": {"x": schema_of(b=STRING)}},
    ],
)
def test_strict_requires_closed_objects(schema: dict[str, Any]) -> None:
    assert problem_of(schema) == ""
    assert "`strict`" in problem_of(schema, strict=True)
    assert problem_of(CLOSED, strict=True) == ""


def enforced(schema: dict[str, Any]) -> dict[str, Any] | None:
    assert problem_of(schema) == ""
    return enforceable(OutputSchema("answer", schema))


def property_of(schema: dict[str, Any]) -> Any:
    """Return the enforced form of a property, or None if the schema cannot be enforced."""
    whole = enforced(schema_of(a=schema))
    return whole and whole["properties"]["a"]


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        (STRING, STRING),
        ({"type": ["string", "null"]}, {"type": ["string", "null"]}),
        ({"enum": ["a", 1, None]}, {"enum": ["a", 1, None]}),
        ({"const": "a", "title": "A"}, {"const": "a", "title": "A"}),
        ({"type": "string", "format": "date"}, {"type": "string", "format": "date"}),
        ({"type": "string", "format": "phone"}, {"type": "string", "description": '{"format": "phone"}'}),
        (
            {"type": "integer", "minimum": 1, "description": "How many."},
            {"type": "integer", "description": 'How many.\n\n{"minimum": 1}'},
        ),
        ({"type": "array", "items": STRING, "minItems": 1}, {"type": "array", "items": STRING, "minItems": 1}),
        (
            {"type": "array", "items": STRING, "minItems": 2},
            {"type": "array", "items": STRING, "description": '{"minItems": 2}'},
        ),
        ({"oneOf": [STRING, {"type": "null"}]}, {"anyOf": [STRING, {"type": "null"}]}),
        (schema_of(b=STRING), CLOSED | {"properties": {"b": STRING}, "required": []}),
        (CLOSED, CLOSED),
        (CLOSED | {"properties": {}, "required": []}, CLOSED | {"properties": {}, "required": []}),
    ],
)
def test_the_enforced_form_keeps_the_structure(schema: dict[str, Any], expected: dict[str, Any]) -> None:
    assert property_of(schema) == expected


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"description": "Anything."},
        {"type": "object"},
        {"type": "object", "additionalProperties": {"type": "integer"}},
        {**schema_of(b=STRING), "required": ["a"]},
        {"type": "object", "patternProperties": {"^a": STRING}, "additionalProperties": False},
        {"allOf": [STRING]},
        {"type": "string", "allOf": [{"enum": ["a"]}]},
        {"enum": [{"a": 1}]},
        {"const": []},
        {"type": "array", "items": {}},
        {"type": "array", "items": True},
        {"anyOf": [STRING, {}]},
        {"$ref": "#"},
        {"$ref": "#/$defs/missing"},
    ],
)
def test_what_a_grammar_cannot_express_is_not_enforced(schema: dict[str, Any]) -> None:
    assert property_of(schema) is None


def test_definitions_are_enforced_unless_they_are_recursive() -> None:
    leaf, node = {"type": "integer", "maximum": 3}, {"$ref": "#/$defs/leaf"}
    whole = schema_of(a={"$ref": "#/$defs/node"}) | {"$defs": {"leaf": leaf, "node": schema_of(left=node)}}
    form = enforced(whole)
    assert form is not None
    assert form["$defs"]["leaf"] == {"type": "integer", "description": '{"maximum": 3}'}
    assert form["$defs"]["node"]["properties"] == {"left": node}
    whole["$defs"]["leaf"] = schema_of(back={"$ref": "#/$defs/node"})
    assert enforced(whole) is None


LEAVES = st.sampled_from([
    {}, True, STRING, {"type": "integer", "minimum": 1}, {"type": ["string", "null"], "maxLength": 3},
    {"enum": ["a", None]}, {"const": 2}, {"type": "string", "pattern": '^"\\\\"$', "description": 'é"'},
    {"type": "object"}, {"type": "null", "x": 0},
])  # fmt: skip
NAMES = st.sampled_from(["a", "b", '"', "é"])


def _objects(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {"type": st.just("object"), "properties": st.dictionaries(NAMES, inner, min_size=1, max_size=2)},
        optional={
            "additionalProperties": st.sampled_from([True, False]),
            "required": st.lists(NAMES, max_size=2, unique=True),
        },
    )


SCHEMAS = _objects(
    st.recursive(
        LEAVES,
        lambda inner: (
            _objects(inner)
            | st.builds(lambda each: {"type": "array", "items": each}, inner)
            | st.builds(lambda each: {"oneOf": each}, st.lists(inner, min_size=1, max_size=2))
        ),
        max_leaves=6,
    )
)
VALUES = st.recursive(
    st.sampled_from([None, 1, 2, -1, "a", "abcd", '"']),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(NAMES, inner, max_size=2),
    max_leaves=6,
)


@given(SCHEMAS, VALUES)
@example(CLOSED, {"a": "x"})
def test_the_enforced_form_is_a_valid_schema_that_loosens_only_constraints_of_values(
    schema: dict[str, Any], value: Any
) -> None:
    form = enforced(schema)
    if form is None:
        return
    Draft202012Validator.check_schema(form)
    # Without the constraints of values, what the form accepts is what the schema accepts.
    if Draft202012Validator(form).is_valid(value):
        assert Draft202012Validator(_without_constraints(schema)).is_valid(value)


def _without_constraints(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_without_constraints(each) for each in schema]
    if not isinstance(schema, Mapping):
        return schema
    renamed = {"anyOf" if name == "oneOf" else name: each for name, each in schema.items()}
    left = {"minimum", "maxLength", "pattern"}
    return {name: _without_constraints(each) for name, each in renamed.items() if name not in left}


@given(SCHEMAS, st.text(max_size=20))
def test_the_bound_covers_every_form_of_a_schema(schema: dict[str, Any], description: str) -> None:
    output = OutputSchema("answer", schema, description)
    plain = ModelRequest("claude-haiku-5-5", "", (ModelMessage("user", (Text("Hi"),)),), 10)
    request = ModelRequest("claude-haiku-5-5", "", plain.messages, 10, output_format=output)
    added = bound_tokens(request) - bound_tokens(plain)
    forms = [json.dumps(enforceable(output), ensure_ascii=False), instruct(request), json.dumps(schema)]
    assert all(len(form.encode("utf-8", "replace")) <= added - 500 for form in forms), "with room for instructions"


def test_the_bound_covers_a_large_schema_whose_constraints_move_to_its_descriptions() -> None:
    leaf = {"type": "string", "pattern": '"\\' * 20}
    output = OutputSchema("answer", schema_of(**{f"a{at}": leaf for at in range(100)}), "x" * 5_000)
    form = json.dumps(enforceable(output), ensure_ascii=False)
    assert len(form) > 1.4 * len(json.dumps(output.schema))
    assert bound_tokens(ModelRequest("claude-haiku-5-5", "", (), 10, output_format=output)) > len(form)
    described = OutputSchema("answer", CLOSED, "x" * 5_000)
    assert bound_tokens(ModelRequest("claude-haiku-5-5", "", (), 10, output_format=described)) > 5_000


def test_the_bound_covers_every_option_that_is_sent() -> None:
    request = ModelRequest("claude-haiku-5-5", "", (), 10, stop_sequences=("x" * 900,) * 3)
    assert bound_tokens(request) > 2_700
    assert bound_tokens(ModelRequest("claude-haiku-5-5", "", (), 10, output_format="json_object")) > 100
