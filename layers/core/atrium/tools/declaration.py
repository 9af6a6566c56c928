"""The decorator `tool`, which makes a `Tool` of a function.

    @tool(category="orders", effect="effectful")
    def refund(
        order_id: str,
        amount: Annotated[Decimal, Field(gt=0)],
        orders: Annotated[Orders, Depends(open_orders)],
        context: ToolContext,
    ) -> str:
        '''Refund an order.

        Args:
            order_id: The id of the order.
            amount: The amount in USD.
        '''

The model sees `order_id` and `amount`: the types become the JSON Schema, and arguments are validated against it. It
does not see the dependencies and the context. A result that is not text is sent as JSON.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from inspect import Parameter, getdoc
from typing import Annotated, Any, TypedDict, Unpack, overload

import docstring_parser
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, create_model
from pydantic.errors import PydanticUserError

from atrium.llm.normalise import NAME_RULE, is_tool_name
from atrium.tools.dependencies import Dependencies, Function, name_of
from atrium.tools.model import EffectClass, Tool, ToolContext, ToolPermission

type _Count = Annotated[int, Field(ge=1)]


class ToolOptions(TypedDict, total=False):
    """The options of the decorator: fields of `Tool`. Without `name`, the name is the function's name."""

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)  # type: ignore[misc]  # read by pydantic

    name: str
    category: str
    version: str
    permission: ToolPermission
    effect: EffectClass
    timeout_seconds: _Count
    calls_per_minute: _Count
    requires_approval: bool
    ephemeral: _Count


_OPTIONS = TypeAdapter(ToolOptions)


@overload
def tool(function: Function, /) -> Tool[BaseModel]: ...
@overload
def tool(description: str = "", /, **options: Unpack[ToolOptions]) -> Callable[[Function], Tool[BaseModel]]: ...
def tool(
    subject: Function | str = "", /, **options: Unpack[ToolOptions]
) -> Tool[BaseModel] | Callable[[Function], Tool[BaseModel]]:
    """Make a tool of a function. The description is the first argument, or the docstring of the function.

    Raises `TypeError` for a wrong declaration, with the name of the function and what to write.
    """
    if isinstance(subject, str):
        return lambda function: _declare(function, subject, options)
    return _declare(subject, "", options)


def override_dependencies(tools: Iterable[Tool[Any]], overrides: Mapping[Function, Function]) -> tuple[Tool[Any], ...]:
    """Return the tools with other functions for their dependencies. Keys of `overrides` are the original functions.

    Raises `TypeError` if a key is not a dependency of a tool.
    """
    declared = [(each, each.run) for each in tools]
    found = [run.dependencies.originals for _, run in declared if isinstance(run, _FunctionRun)]
    for key in overrides:
        if key not in set().union(*found):
            raise TypeError(f"`{name_of(key)}` is not a dependency of a tool; override a function named in `Depends`")
    return tuple(
        replace(each, run=run.overridden(overrides)) if isinstance(run, _FunctionRun) else each
        for each, run in declared
    )


@dataclass(frozen=True, slots=True, eq=False)
class _FunctionRun:
    """The `run` of a tool that was made of a function. `fields` are the names of the arguments by model field."""

    dependencies: Dependencies
    fields: Mapping[str, str]

    def __call__(self, arguments: BaseModel, context: ToolContext) -> Any:
        given = {name: getattr(arguments, field) for field, name in self.fields.items()}
        return self.dependencies.function(**given, **self.dependencies.values(context))

    def overridden(self, overrides: Mapping[Function, Function]) -> "_FunctionRun":
        return replace(self, dependencies=Dependencies(self.dependencies.function, overrides))


def _declare(function: Function, description: str, options: ToolOptions) -> Tool[BaseModel]:
    try:
        dependencies = Dependencies(function)
        _OPTIONS.validate_python(options)
        text, described = _read_docstring(function, [each.name for each in dependencies.arguments])
        settings: dict[str, Any] = {"name": name_of(function), "category": "custom", **options}
        if not is_tool_name(settings["name"]):
            raise TypeError(f"its name {NAME_RULE}; write `@tool(name=…)`")
        if not (description or text):
            raise TypeError("it has no description; write a docstring, or `@tool('…')`")
        # The names of the fields differ from the arguments' names, which may be names of methods of `BaseModel`.
        fields = {f"argument_{number}": each for number, each in enumerate(dependencies.arguments)}
        return Tool(
            description=description or text,
            arguments=_make_model(fields, described),
            run=_FunctionRun(dependencies, {field: each.name for field, each in fields.items()}),
            **settings,
        )
    except ValidationError as error:
        first = error.errors()[0]
        raise TypeError(f"tool `{name_of(function)}`: option {first['loc'][0]}: {first['msg']}") from error
    except TypeError as error:
        raise TypeError(f"tool `{name_of(function)}`: {error}") from error


def _read_docstring(function: Function, arguments: list[str]) -> tuple[str, dict[str, str]]:
    """Return the description and the descriptions of arguments."""
    read = docstring_parser.parse(getdoc(function) or "")
    described = {each.arg_name: each.description or "" for each in read.params}
    for name in described:
        if name not in arguments:
            raise TypeError(f"its docstring describes `{name}`, but the model sees no such argument; remove that line")
    return read.description or "", {name: " ".join(text.split()) for name, text in described.items() if text}


def _make_model(fields: Mapping[str, Parameter], described: Mapping[str, str]) -> type[BaseModel]:
    """Return the model of the arguments. A description in `Field` replaces the description of the docstring."""
    made: dict[str, Any] = {}
    for field, each in fields.items():
        marks = getattr(each.annotation, "__metadata__", ())
        known = any(getattr(mark, "description", None) for mark in marks)
        options: dict[str, Any] = {"alias": each.name, "title": each.name.replace("_", " ").capitalize()}
        if each.name in described and not known:
            options["description"] = described[each.name]
        if each.default is not Parameter.empty:
            options["default"] = each.default
        _check_type(each)
        made[field] = (each.annotation, Field(**options))
    return create_model("Arguments", __config__=ConfigDict(extra="forbid"), **made)


def _check_type(parameter: Parameter) -> None:
    name = parameter.name
    try:
        adapter = TypeAdapter(parameter.annotation)
        adapter.json_schema()
        if parameter.default is not Parameter.empty:
            adapter.validate_python(parameter.default)
    except PydanticUserError as error:
        raise TypeError(
            f"the type of `{name}` has no JSON Schema; use a type such as `int`, `list[str]` or a pydantic model, or "
            f"write `{name}: Annotated[…, Depends(…)]` for a value that the model does not supply"
        ) from error
    except ValidationError as error:
        raise TypeError(f"the default of `{name}` is not valid: {error.errors()[0]['msg']}") from error
