"""Every element of the document has a description. The check names elements without one."""

import json
from copy import deepcopy
from typing import Any

import pytest

from infra.openapi.__main__ import TARGET
from infra.openapi.describe import SCHEMAS, describe, find_undescribed

type Document = dict[str, Any]


@pytest.fixture(scope="module")
def committed() -> Document:
    document: Document = json.loads(TARGET.read_text(encoding="utf-8"))
    return document


def test_nothing_in_the_committed_document_lacks_a_description(committed: Document) -> None:
    assert list(find_undescribed(committed)) == []


def test_summaries_are_short(committed: Document) -> None:
    long = {
        operation["operationId"]
        for item in committed["paths"].values()
        for operation in item.values()
        if len(operation["summary"]) > 60 or operation["summary"].endswith(".")
    }
    assert long == set()


def test_every_text_belongs_to_a_schema(committed: Document) -> None:
    assert committed["components"]["schemas"].keys() >= SCHEMAS.keys()


@pytest.mark.parametrize(
    ("place", "named"),
    [
        (("components", "schemas", "ChatBody", "properties", "message"), "schema ChatBody, property message"),
        (("components", "schemas", "Hours"), "schema Hours"),
        (("paths", "/v1/chat", "post", "requestBody"), "body of chat"),
        (("paths", "/v1/runs/{run_id}", "get", "parameters", 0), "parameter run_id of getRun"),
        (("paths", "/v1/chat", "post", "responses", "200"), "answer 200 of chat"),
        (("paths", "/v1/chat", "post"), "description of chat"),
    ],
)
def test_a_missing_description_is_named(committed: Document, place: tuple[Any, ...], named: str) -> None:
    document: Any = deepcopy(committed)
    part = document
    for step in place:
        part = part[step]
    del part["description"]
    assert list(find_undescribed(document)) == [named]


def test_a_nested_property_without_a_description_is_named() -> None:
    inner = {"type": "object", "properties": {"size": {"type": "integer"}}}
    schema = {"description": "A list.", "properties": {"all": {"description": "All.", "items": inner}}}
    document = {"paths": {}, "components": {"schemas": {"Things": schema}}}
    assert list(find_undescribed(document)) == ["schema Things, property all, property size"]


def test_a_docstring_becomes_summary_and_description() -> None:
    answer = {"description": "Successful Response", "content": {"application/json": {"schema": {"$ref": "#/a/Thing"}}}}
    operation: Document = {
        "operationId": "getThing",
        "description": "Get a thing.\n\nIt may be\nlarge.",
        "responses": {"200": answer, "204": {"description": "Successful Response"}},
    }
    document = {
        "paths": {"/things": {"get": operation}},
        "components": {"schemas": {"Thing": {"description": "A thing."}}},
    }
    describe(document)
    assert (operation["summary"], operation["description"]) == ("Get a thing", "It may be large.")
    assert answer["description"] == "A thing."
    assert operation["responses"]["204"]["description"] == "Success. The response has no body."
