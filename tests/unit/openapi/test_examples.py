"""Every required part of a request has an example. The check reports examples of operations that do not exist."""

import json
from copy import deepcopy
from typing import Any

import pytest

from infra.openapi.__main__ import TARGET
from infra.openapi.examples import EXAMPLES, PATH, WITHOUT, find_without_example

type Document = dict[str, Any]


@pytest.fixture
def committed() -> Document:
    document: Document = json.loads(TARGET.read_text(encoding="utf-8"))
    return document


def test_nothing_lacks_an_example(committed: Document) -> None:
    assert list(find_without_example(committed)) == []


def test_what_has_no_example_says_why(committed: Document) -> None:
    operations = {each["operationId"]: each for item in committed["paths"].values() for each in item.values()}
    for name, reason in WITHOUT.items():
        assert f"There is no example, because it needs {reason}." in operations[name]["description"]
    assert not WITHOUT.keys() & EXAMPLES.keys()


def test_a_missing_example_is_named(committed: Document) -> None:
    document = deepcopy(committed)
    del document["paths"]["/v1/chat"]["post"]["requestBody"]["content"]["application/json"]["example"]
    (agent_id,) = document["paths"]["/v1/agents/{agent_id}"]["get"]["parameters"]
    del agent_id["example"]
    assert list(find_without_example(document)) == ["parameter agent_id of getAgent", "body of chat"]


def test_an_example_of_an_operation_that_is_gone_is_named(committed: Document) -> None:
    del committed["paths"]["/v1/limits/check"]
    assert list(find_without_example(committed)) == ["checkLimits is not an operation"]


def test_deleting_has_an_object_of_its_own(committed: Document) -> None:
    """If an example deleted a resource that other examples use, the order of the examples would matter."""
    for item in committed["paths"].values():
        if "delete" in item and item["delete"]["operationId"] not in WITHOUT:
            named = {each["example"] for each in item["delete"]["parameters"] if "example" in each}
            assert named
            assert not named & set(PATH.values())
