"""The decorator `tool`: the tool that it makes of a function, and the errors of wrong declarations."""

import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Annotated, Any

import pytest
from atrium.tools.declaration import override_dependencies, tool
from atrium.tools.dependencies import Depends
from atrium.tools.model import Tool, ToolContext, ToolRefusal
from atrium.tools.registry import ToolRegistry
from pydantic import BaseModel, Field

from tests.builders.loops import tool_context

CONTEXT = tool_context(end_user="anna")


class Item(BaseModel):
    """One item of an order."""

    name: str
    count: Annotated[int, Field(ge=1)] = 1


class Opaque:
    """A type without a JSON Schema."""


def make_order(
    items: list[Item], json: Annotated[str, Field(description="A note.")] = "", *, price: Decimal = Decimal(3)
) -> dict[str, object]:
    """Order items.

    The order cannot be changed.

    Args:
        items: What to order,
            in any order.
        json: Replaced by the description of the field.
        price: In USD.

    Returns:
        The order.
    """
    return {"names": [item.name for item in items], "count": items[0].count, "price": price, "note": json}


def call(made: Tool[Any], **arguments: object) -> str:
    answer = ToolRegistry([made]).call(made.name, arguments, CONTEXT)
    assert not answer.is_error, answer
    return answer.text


def test_name_description_schema_and_validation_are_those_of_the_function() -> None:
    made = tool(make_order)
    assert (made.name, made.category, made.effect) == ("make_order", "custom", "effectful")
    assert made.description == "Order items.\n\nThe order cannot be changed."
    schema = made.input_schema()
    assert (schema["required"], schema["additionalProperties"]) == (["items"], False)
    described = {name: each.get("description") for name, each in schema["properties"].items()}
    assert described == {"items": "What to order, in any order.", "json": "A note.", "price": "In USD."}
    assert call(made, items=[{"name": "tea"}]) == '{"names":["tea"],"count":1,"price":"3","note":""}'
    wrong: list[dict[str, object]] = [{}, {"items": [{"name": "tea", "count": 0}]}, {"items": [], "argument_1": "x"}]
    for arguments in wrong:
        answer = ToolRegistry([made]).call("make_order", arguments, CONTEXT)
        assert answer.text.startswith("The arguments are not valid: ")
        assert "argument_" not in answer.text.replace("argument_1: Extra", "")


def test_options_and_a_description_replace_those_of_the_function() -> None:
    made = tool(
        "Buy.", name="buy", category="shop", effect="effectful", permission="write", timeout_seconds=5, version="2",
        calls_per_minute=7,
    )(make_order)  # fmt: skip
    assert (made.name, made.description, made.category, made.effect) == ("buy", "Buy.", "shop", "effectful")
    assert (made.permission, made.timeout_seconds, made.version, made.calls_per_minute) == ("write", 5, "2", 7)


def connect(context: ToolContext) -> list[str]:
    return [context.end_user]


def reader(rows: Annotated[list[str], Depends(connect)], suffix: str = "!") -> Callable[[], str]:
    return lambda: ",".join(rows) + suffix


@tool("Read.")
def read(
    number: int,
    context: ToolContext,
    rows: Annotated[list[str], Depends(connect)],
    reading: Annotated[Callable[[], str], Depends(reader)],
) -> str:
    rows.append(str(number))
    return f"{reading()} {context.end_user}"


def test_resolves_dependencies_once_in_each_call() -> None:
    assert list(read.input_schema()["properties"]) == ["number"]
    assert [call(read, number=number) for number in (1, 2)] == ["anna,1! anna", "anna,2! anna"]


class Shop:
    """A class with a dependency, and with a method that becomes a tool."""

    def __init__(self, rows: Annotated["list[str]", Depends(connect)]) -> None:
        self.rows = rows

    def sell(self, count: "int") -> str:
        return str(self.rows[:count])


def test_classes_methods_and_names_of_types_are_accepted() -> None:
    @tool("Look.")
    def look(shop: Annotated[Shop, Depends(Shop)]) -> str:
        return str(shop.rows)

    assert call(look) == "['anna']"
    sell = tool("Sell.")(Shop(["tea"]).sell)
    assert (sell.name, call(sell, count=1)) == ("sell", "['tea']")


def forbidden() -> str:
    raise ToolRefusal("Not for you.")


def broken() -> str:
    raise RuntimeError("secret")


@pytest.mark.parametrize(("dependency", "text"), [(forbidden, "Not for you."), (broken, "The tool failed.")])
def test_a_failure_of_a_dependency_is_a_failure_of_the_call(dependency: Callable[[], str], text: str) -> None:
    (made,) = override_dependencies([read], {connect: dependency})
    answer = ToolRegistry([made]).call("read", {"number": 1}, CONTEXT)
    assert (answer.content, answer.is_error) == (text, True)


def test_parallel_calls_do_not_share_dependencies() -> None:
    meeting = threading.Barrier(4, timeout=60)

    @tool("Wait.")
    def waiting(number: int, rows: Annotated[list[str], Depends(connect)]) -> str:
        rows.append(str(number))
        meeting.wait()
        return str(rows)

    with ThreadPoolExecutor(4) as pool:
        results = pool.map(lambda number: call(waiting, number=number), range(4))
    assert list(results) == [f"['anna', '{number}']" for number in range(4)]


def test_overrides_replace_dependencies_at_every_depth() -> None:
    def fake(context: ToolContext) -> list[str]:
        return [f"not {context.end_user}"]

    plain = tool(make_order)
    overridden, same = override_dependencies([read, plain], {connect: fake})
    assert call(overridden, number=1) == "not anna,1! anna"
    assert call(read, number=1) == "anna,1! anna"
    assert call(same, items=[{"name": "tea"}]) == call(plain, items=[{"name": "tea"}])
    (again,) = override_dependencies([read], {reader: lambda: lambda: "fixed"})
    assert call(again, number=1) == "fixed anna"


async def coroutine(number: int) -> str:
    return str(number)


def generator(number: int) -> Iterator[str]:
    yield str(number)


async def async_generator(number: int) -> AsyncIterator[str]:
    yield str(number)


def untyped(number) -> str:  # type: ignore[no-untyped-def]  # wrong on purpose
    return str(number)


def variadic(*numbers: int) -> str:
    return str(numbers)


def positional(number: int, /) -> str:
    return str(number)


def opaque(thing: Opaque) -> str:
    return str(thing)


def undescribed(number: int) -> str:
    return str(number)


def misdescribed(number: int) -> str:
    """Count.

    Args:
        numbr: A number.
    """
    return str(number)


def misplaced(rows: list[str] = Depends(connect)) -> str:  # type: ignore[assignment]  # noqa: B008  # wrong on purpose
    return str(rows)


def open_ended(number: int) -> str:
    return str(number)


def dependent(number: Annotated[str, Depends(open_ended)]) -> str:
    return number


def unknown(thing: "Missing") -> str:  # type: ignore[name-defined]  # noqa: F821  # wrong on purpose
    return str(thing)


def wrong_default(number: Annotated[int, Field(ge=1)] = 0) -> str:
    return str(number)


def uncallable(rows: Annotated[str, Depends("connect")]) -> str:
    return rows


@pytest.mark.parametrize(
    ("function", "options", "text"),
    [
        (coroutine, {}, "write `def`"),
        (generator, {}, "write `def` with `return`"),
        (async_generator, {}, "write `def`"),
        (untyped, {}, "write `number: <type>`"),
        (variadic, {}, "replace `*numbers: int` by `numbers: <type>`"),
        (positional, {}, "must have named parameters"),
        (opaque, {}, "write `thing: Annotated[…, Depends(…)]`"),
        (misdescribed, {}, "describes `numbr`"),
        (misplaced, {}, "write `rows: Annotated[<type>, Depends(…)]` without a default"),
        (dependent, {}, "write `number: Annotated[…, Depends(…)]`, `number: ToolContext`, or a default"),
        (unknown, {}, "define or import them"),
        (wrong_default, {}, "the default of `number` is not valid"),
        (uncallable, {}, "must be a function"),
        (lambda: "x", {}, "write `@tool(name=…)`"),
        (undescribed, {"name": "no good"}, "write `@tool(name=…)`"),
        (undescribed, {"name": "n" * 65}, "its name must have 1 to 64 letters, digits, `_` or `-`"),
        (undescribed, {"effect": "none"}, "option effect: Input should be 'pure', 'idempotent' or 'effectful'"),
        (undescribed, {"permission": "all"}, "option permission"),
        (undescribed, {"timeout_seconds": 0}, "option timeout_seconds"),
        (undescribed, {"calls_per_minute": "many"}, "option calls_per_minute"),
        (undescribed, {"timeout": 3}, "option timeout"),
    ],
    ids=lambda value: value.__name__ if callable(value) else str(value)[:40],
)
def test_a_wrong_declaration_says_what_to_write(function: Any, options: Any, text: str) -> None:
    with pytest.raises(TypeError) as caught:
        tool("Do it.", **options)(function)
    assert text in str(caught.value)
    assert str(caught.value).startswith(f"tool `{function.__name__}`: ")


def test_a_tool_needs_a_description() -> None:
    with pytest.raises(TypeError, match=r"write a docstring, or `@tool\('…'\)`"):
        tool(undescribed)


def test_a_wrong_override_is_an_error() -> None:
    def itself(rows: Annotated[list[str], Depends(connect)]) -> list[str]:
        return rows

    for overrides, text in (({make_order: connect}, "is not a dependency"), ({connect: itself}, "depends on itself")):
        with pytest.raises(TypeError, match=text):
            override_dependencies([read], overrides)
