"""JSON Schemas for answers: their validation, the form that a vendor enforces, and the text for a system prompt.

Claude compiles a schema to a grammar, which knows few keywords and no recursion
(platform.claude.com/docs/en/build-with-claude/structured-outputs). `enforceable` writes the other constraints, such as
`minimum`, into the descriptions, where the model reads them. A schema whose structure cannot be expressed in this way,
such as a map with any keys, is part of the system prompt instead (`instruct`).

`strict` has OpenAI's meaning, for every model: objects have no properties but the listed ones, and all of them.
"""

import json
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Any

from atrium.llm.model import ModelRequest, OutputSchema
from atrium.llm.normalise import DEPTH_MAX, NAME_RULE, clean_json, is_tool_name

SCHEMA_BYTES_MAX = 65_536
"""Maximum size of a schema as JSON, with its description."""
_TYPES = frozenset({"object", "array", "string", "integer", "number", "boolean", "null"})
_ONES = ("items", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames")
_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
_MAPS = ("properties", "$defs", "definitions", "patternProperties", "dependentSchemas")
_FORMATS = frozenset({"date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"})
_ANNOTATIONS = frozenset({"$schema", "$id", "$comment"})
_DEFINITIONS = ("$defs", "definitions")
_JSON_ONLY = "Answer with one JSON object and nothing else: no text before or after it, and no Markdown."
_FITS = "The object must fit this JSON Schema:"


def find_problem(output: OutputSchema) -> str:
    """Return what is wrong with an output schema, as text that follows a field's name, or "" if it is valid."""
    return next(_problems(output), "")


def _problems(output: OutputSchema) -> Iterator[str]:
    if not is_tool_name(output.name):
        yield f"has an invalid name: it {NAME_RULE}"
    cleaned, _ = clean_json(output.schema)
    if cleaned != output.schema:
        yield f"must be valid JSON, nested at most {DEPTH_MAX} levels deep"
    if len(json.dumps(cleaned)) + len(output.description) > SCHEMA_BYTES_MAX:
        yield f"must have at most {SCHEMA_BYTES_MAX} bytes"
    if output.schema.get("type") != "object":
        yield "must have the `type` `object`"
    if not all(map(_is_well_formed, _subschemas(output.schema))):
        yield "must be a valid JSON Schema (2020-12), with references only to its own `$defs`"
    if output.strict and not all(map(_is_strict, _subschemas(output.schema))):
        yield (
            "is not valid for `strict`: in each object, `additionalProperties` must be false, and `required` must list "
            "all `properties`"
        )


def instruct(request: ModelRequest) -> str:
    """Return the system prompt with the instruction to answer in the request's output format."""
    text, output = _JSON_ONLY, request.output_format
    if isinstance(output, OutputSchema):
        about = f"{output.name}: {output.description}" if output.description else output.name
        text = f"{text} {_FITS} ({about})\n{json.dumps(dict(output.schema), ensure_ascii=False)}"
    return f"{request.system}\n\n{text}" if request.system.strip() else text


def enforceable(output: OutputSchema) -> dict[str, Any] | None:
    """Return the schema in the form that Claude's API accepts, or None if it has no such form."""
    root = output.schema
    definitions = {f"#/{name}/{key}": each for name in _DEFINITIONS for key, each in root.get(name, {}).items()}
    if not _references(root) <= definitions.keys():
        return None
    try:
        TopologicalSorter({name: _references(each) for name, each in definitions.items()}).prepare()
        enforced = _enforced(root)
        for name in _DEFINITIONS:
            if name in root:
                enforced[name] = {key: _enforced(each) for key, each in root[name].items()}
    except (CycleError, _NotEnforceable):
        return None
    if output.description:
        enforced.setdefault("description", output.description)
    return enforced


def _references(schema: object) -> set[str]:
    return {each["$ref"] for each in _subschemas(schema) if isinstance(each, Mapping) and "$ref" in each}


class _NotEnforceable(Exception):
    """The grammar of the API cannot express a schema."""


def _enforced(schema: object) -> dict[str, Any]:
    """Return a subschema with only the keywords that the API accepts. The others are added to its description."""
    if not isinstance(schema, Mapping):  # true or false
        raise _NotEnforceable
    if "$ref" in schema:
        return {"$ref": schema["$ref"]}
    left = {name: each for name, each in schema.items() if name not in {*_ANNOTATIONS, *_DEFINITIONS}}
    kept = {name: left.pop(name) for name in ("type", "enum", "const", "title", "description") if name in left}
    options = left.pop("anyOf", None) or left.pop("oneOf", None)
    if options:
        kept["anyOf"] = [_enforced(each) for each in options]
    if not {"type", "enum", "const", "anyOf"} & kept.keys() or "allOf" in left or not _is_flat(kept):
        raise _NotEnforceable
    types = kept.get("type", ())
    if "object" in types:
        kept |= _enforced_object(left)
    if "array" in types and "items" in left:
        kept["items"] = _enforced(left.pop("items"))
    if left.get("minItems") in {0, 1}:
        kept["minItems"] = left.pop("minItems")
    if left.get("format") in _FORMATS:
        kept["format"] = left.pop("format")
    if left:
        rest = json.dumps(left, ensure_ascii=False)
        kept["description"] = f"{kept['description']}\n\n{rest}" if kept.get("description") else rest
    return kept


def _enforced_object(left: dict[str, Any]) -> dict[str, Any]:
    """Take the keywords of an object. An object that may have other properties than the listed ones has no grammar."""
    properties, required = left.pop("properties", {}), left.pop("required", [])
    others = left.pop("additionalProperties", None)
    is_open = others or (others is None and not properties) or "patternProperties" in left
    if is_open or not set(required) <= set(properties):
        raise _NotEnforceable
    enforced = {name: _enforced(each) for name, each in properties.items()}
    return {"properties": enforced, "required": required, "additionalProperties": False}


def _is_flat(schema: Mapping[str, Any]) -> bool:
    return not any(isinstance(each, dict | list) for each in (*schema.get("enum", ()), schema.get("const")))


def _subschemas(schema: object) -> Iterator[Any]:
    """Yield a schema and its subschemas, with values of wrong types. Data such as `enum` and `default` is omitted."""
    yield schema
    if not isinstance(schema, Mapping):
        return
    inner: list[object] = [schema[name] for name in _ONES if name in schema]
    for name in _LISTS:
        inner += schema[name] if isinstance(schema.get(name), list) else ()
    for name in _MAPS:
        inner += schema[name].values() if isinstance(schema.get(name), Mapping) else ()
    for each in inner:
        yield from _subschemas(each)


def _is_well_formed(schema: object) -> bool:
    """Return whether the keywords of a subschema that this module reads have values of the right types."""
    if not isinstance(schema, Mapping):
        return isinstance(schema, bool)
    types = schema.get("type", [])
    types = [types] if isinstance(types, str) else types
    texts = [schema.get(name, "") for name in ("description", "title", "format")]
    return (
        isinstance(types, list)
        and all(isinstance(each, str) and each in _TYPES for each in types)
        and all(isinstance(schema.get(name, []), list) for name in (*_LISTS, "enum", "required"))
        and all(isinstance(each, str) for each in (*schema.get("required", []), *texts))
        and len(set(schema.get("required", []))) == len(schema.get("required", []))
        and all(isinstance(schema.get(name, {}), Mapping) for name in _MAPS)
        and ("$ref" not in schema or (isinstance(schema["$ref"], str) and schema["$ref"].startswith("#")))
    )


def _is_strict(schema: object) -> bool:
    if not isinstance(schema, Mapping) or "object" not in schema.get("type", ()):
        return True
    is_closed = schema.get("additionalProperties") is False
    return is_closed and set(schema.get("properties", {})) <= set(schema.get("required", []))
