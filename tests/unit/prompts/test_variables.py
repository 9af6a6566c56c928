"""Declarations and values of variables."""

from datetime import UTC, datetime
from typing import Any

import pytest
from atrium.kernel.ids import PromptId
from atrium.prompts.model import PromptFault, PromptVersion, Variable, check_declarations

NOW = datetime(2026, 11, 29, tzinfo=UTC)


def bind(given: dict[str, Any], *variables: Variable) -> dict[str, Any]:
    return PromptVersion(PromptId("prm_1"), 1, "", variables, NOW).bind(given)


def test_given_values_replace_defaults() -> None:
    declared = (Variable("a", default="x"), Variable("b", "list", default=["y"]), Variable("c"))
    assert bind({"a": "z"}, *declared) == {"a": "z", "b": ["y"]}


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("string", 1), ("string", "a" * 4_001), ("integer", "1"), ("integer", True), ("integer", 1.5),
        ("integer", 2**53 + 1), ("number", "1"), ("number", float("nan")), ("number", float("inf")), ("number", False),
        ("boolean", 1), ("list", "abc"), ("list", [1]), ("list", ["a"] * 101), ("list", ["a" * 501]),
    ],
)  # fmt: skip
def test_refuses_values_of_another_type_or_size(kind: Any, value: Any) -> None:
    with pytest.raises(PromptFault, match="value of `a`"):
        bind({"a": value}, Variable("a", kind))
    with pytest.raises(PromptFault, match="value of `a`"):
        check_declarations([Variable("a", kind, default=value)])


def test_refuses_unknown_and_missing_values() -> None:
    with pytest.raises(PromptFault, match="no variable `b`"):
        bind({"b": "x"}, Variable("a"))
    with pytest.raises(PromptFault, match="`a` needs a value"):
        bind({}, Variable("a", required=True))


def test_refuses_values_that_are_too_large_together() -> None:
    declared = [Variable(f"v{at}") for at in range(13)]
    with pytest.raises(PromptFault, match="50,000"):
        bind({each.name: "a" * 4_000 for each in declared}, *declared)
    with pytest.raises(PromptFault, match="50,000"):
        check_declarations([Variable(each.name, default="a" * 4_000) for each in declared])


@pytest.mark.parametrize("name", ["", "A", "1a", "a-b", "_a", "é", "a" * 65, "loop", "for", "company", "self", "true"])
def test_refuses_invalid_and_reserved_names(name: str) -> None:
    with pytest.raises(PromptFault, match="name"):
        check_declarations([Variable(name)])


def test_refuses_repeated_names_and_required_variables_with_a_default() -> None:
    with pytest.raises(PromptFault, match="twice"):
        check_declarations([Variable("a"), Variable("a")])
    with pytest.raises(PromptFault, match="required"):
        check_declarations([Variable("a", required=True, default="x")])
