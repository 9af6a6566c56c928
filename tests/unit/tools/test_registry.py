"""The tool registry always returns a result to the model, within limits of time and size."""

import threading
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pkgutil import iter_modules

import pytest
from atrium import tools
from atrium.llm.normalise import is_tool_name
from atrium.tools.calculator import CALCULATOR
from atrium.tools.clock import CURRENT_TIME
from atrium.tools.done import DONE
from atrium.tools.model import Tool, ToolRefusal, ToolRetry
from atrium.tools.output import RESULT_CHARACTERS_MAX
from atrium.tools.registry import BUILT_IN, ToolRegistry
from pydantic import BaseModel, ConfigDict, Field

from tests.builders.loops import tool_context

CONTEXT = tool_context()


class Arguments(BaseModel):
    """The arguments of the tools in these tests."""

    model_config = ConfigDict(extra="forbid")

    number: int = Field(0, ge=0, description="A number.")


def tool(run: Callable[[], str], *, name: str = "probe", timeout_seconds: int = 5) -> Tool[Arguments]:
    return Tool(
        name, "For tests.", "tests", Arguments, lambda _arguments, _context: run(), timeout_seconds=timeout_seconds
    )


def fail_with(error: Exception) -> Callable[[], str]:
    def fail() -> str:
        raise error

    return fail


def test_every_tool_of_the_package_can_be_chosen() -> None:
    modules = [import_module(f"atrium.tools.{found.name}") for found in iter_modules(tools.__path__)]
    defined = {each.name for module in modules for each in vars(module).values() if isinstance(each, Tool)}
    assert defined == {each.name for each in (*BUILT_IN, DONE)}


def test_tools_have_names_of_their_own_that_providers_accept() -> None:
    names = [each.name for each in (*BUILT_IN, DONE)]
    assert len(set(names)) == len(names)
    assert all(map(is_tool_name, names))


def test_returns_the_result() -> None:
    answer = ToolRegistry().call("calculator", {"expression": "6*7"}, CONTEXT)
    assert (answer.content, answer.is_error, answer.defect) == ("42", False, None)


def test_reports_an_unknown_tool_with_a_bounded_name() -> None:
    answer = ToolRegistry().call("x" * 5_000, {}, CONTEXT)
    assert answer.is_error
    assert answer.text.startswith("There is no tool named xxx")
    assert len(answer.content) < 200


@pytest.mark.parametrize(
    "arguments", [{"number": -1}, {"number": "many"}, {"other": 1}, {"number": None}, {"number": {"a": [1]}}]
)
def test_explains_wrong_arguments(arguments: dict[str, object]) -> None:
    answer = ToolRegistry([tool(lambda: "never")]).call("probe", arguments, CONTEXT)
    assert answer.is_error
    assert answer.text.startswith("The arguments are not valid: ")
    assert next(iter(arguments)) in answer.content
    assert answer.defect is None


def test_many_wrong_arguments_are_explained_in_bounds() -> None:
    answer = ToolRegistry([tool(lambda: "never")]).call("probe", {f"{n}" * 50: n for n in range(3_000)}, CONTEXT)
    assert answer.is_error
    assert len(answer.content) <= RESULT_CHARACTERS_MAX


@pytest.mark.parametrize("error", [ToolRetry("try again with b"), ToolRefusal("never")], ids=["retry", "refusal"])
def test_passes_a_tools_error_to_the_model(error: Exception) -> None:
    answer = ToolRegistry([tool(fail_with(error))]).call("probe", {}, CONTEXT)
    assert (answer.content, answer.is_error, answer.defect) == (str(error), True, None)


@pytest.mark.parametrize("error", [RuntimeError("password: hunter2"), KeyError("k"), TimeoutError(), RecursionError()])
def test_reports_an_unexpected_error_without_its_text(error: Exception) -> None:
    answer = ToolRegistry([tool(fail_with(error))]).call("probe", {}, CONTEXT)
    assert (answer.content, answer.is_error) == ("The tool failed.", True)
    assert answer.defect is error


def test_times_out_a_hanging_tool() -> None:
    release = threading.Event()
    hanging = replace(tool(lambda: str(release.wait(60))), timeout_seconds=0)
    answer = ToolRegistry([hanging]).call("probe", {}, CONTEXT)
    release.set()
    assert (answer.content, answer.is_error) == ("The tool timed out after 0 s.", True)


def test_truncates_a_long_result() -> None:
    answer = ToolRegistry([tool(lambda: "x" * 1_000_000)]).call("probe", {}, CONTEXT)
    assert len(answer.content) == RESULT_CHARACTERS_MAX
    assert answer.text.endswith("[cut: the result was longer]")
    whole = ToolRegistry([tool(lambda: "x" * RESULT_CHARACTERS_MAX)]).call("probe", {}, CONTEXT)
    assert whole.content == "x" * RESULT_CHARACTERS_MAX


def test_choosing_omits_unknown_tools() -> None:
    chosen = ToolRegistry().choose(["calculator", "gone"])
    assert chosen.names == {"calculator"}
    assert chosen.add(DONE).names == {"calculator", "done"}
    assert ToolRegistry([]).schemas() == ()


def test_schemas_for_the_model() -> None:
    schemas = {schema.name: schema for schema in ToolRegistry([CALCULATOR, CURRENT_TIME, DONE]).schemas()}
    assert schemas["calculator"].input_schema == {
        "type": "object",
        "additionalProperties": False,
        "required": ["expression"],
        "properties": {
            "expression": {
                "description": "Numbers with + - * / // % ** and parentheses, such as (2 + 3) * 4.5",
                "maxLength": 500,
                "minLength": 1,
                "title": "Expression",
                "type": "string",
            }
        },
    }
    assert "required" not in schemas["current_time"].input_schema
    assert all(schema.description for schema in schemas.values())


def test_done_ends_the_task() -> None:
    assert ToolRegistry([DONE]).call("done", {"summary": "all of it"}, CONTEXT).content == "The task is closed."


def test_caches_schemas_across_registries(monkeypatch: pytest.MonkeyPatch) -> None:
    first = ToolRegistry([CALCULATOR]).schemas()
    monkeypatch.setattr(CALCULATOR.arguments, "model_json_schema", lambda: pytest.fail("made again"))
    assert ToolRegistry().choose(["calculator"]).add(DONE).schemas()[0].input_schema is first[0].input_schema
