"""The merge of the functions' OpenAPI documents. If two functions conflict, the error names both functions."""

import json
from typing import Any

import pytest

from infra.openapi.merge import Conflict, merge_documents, render


def document(path: str, method: str, name: str, *, schema: str = "Thing", kind: str = "object") -> dict[str, Any]:
    operation = {"operationId": name, "tags": ["chat"], "responses": {"200": {"description": "ok"}}}
    return {
        "openapi": "3.1.0",
        "info": {"title": "part", "version": "0"},
        "paths": {path: {method: operation}},
        "components": {"schemas": {schema: {"type": kind}}},
    }


def test_merges_documents() -> None:
    merged = merge_documents(
        [
            ("sessions", document("/v1/b", "post", "createB", schema="B")),
            ("chat", document("/v1/b", "get", "listB", schema="A")),
            ("usage", document("/v1/a", "get", "listA", schema="A")),
        ]
    )
    assert list(merged["paths"]) == ["/v1/a", "/v1/b"]
    assert list(merged["paths"]["/v1/b"]) == ["get", "post"]
    assert list(merged["components"]["schemas"]) == ["A", "B"]
    assert merged["info"]["title"] == "Atrium"
    assert [tag["name"] for tag in merged["tags"]] == ["chat"]


def test_order_of_functions_does_not_matter() -> None:
    parts = [("a", document("/v1/a", "get", "listA")), ("b", document("/v1/b", "get", "listB"))]
    assert render(merge_documents(parts)) == render(merge_documents(reversed(parts)))


@pytest.mark.parametrize(
    ("second", "message"),
    [
        (document("/v1/a", "get", "readOther"), r"GET /v1/a is in one and in two"),
        (document("/v1/b", "get", "listA"), r"operation id listA is in one and in two"),
        (document("/v1/b", "get", "listB", kind="array"), r"schemas/Thing differs between one and two"),
        (document("/v1/b", "get", "list_b"), r"not a readable name"),
    ],
)
def test_reports_conflicts(second: dict[str, Any], message: str) -> None:
    with pytest.raises(Conflict, match=message):
        merge_documents([("one", document("/v1/a", "get", "listA")), ("two", second)])


@pytest.mark.parametrize("tags", [[], ["teapots"]])
def test_a_tag_must_be_known(tags: list[str]) -> None:
    part = document("/v1/a", "get", "listA")
    part["paths"]["/v1/a"]["get"]["tags"] = tags
    with pytest.raises(Conflict, match="needs tags"):
        merge_documents([("one", part)])


def test_the_text_ends_with_a_line_and_keeps_letters() -> None:
    text = render({"title": "é"})
    assert text.endswith("}\n")
    assert "é" in text
    assert json.loads(text) == {"title": "é"}
