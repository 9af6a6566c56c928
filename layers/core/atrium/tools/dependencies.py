"""Parameters of tool functions that the model does not see: the `ToolContext`, and the results of other functions.

    def open_orders(context: ToolContext) -> Orders: ...

    @tool
    def refund(order_id: str, orders: Annotated[Orders, Depends(open_orders)]) -> str: ...

A dependency may have dependencies. It is called at most once in each tool call. A test replaces it by an override.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from inspect import Parameter
from typing import Annotated, Any, get_args, get_origin

from atrium.tools.model import ToolContext

type Function = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Depends:
    """Marks a parameter whose value is the result of a function: `Annotated[Orders, Depends(open_orders)]`."""

    function: Function


@dataclass(slots=True)
class Dependencies:
    """The functions on which a tool function depends, with `overrides` by the function that they replace.

    `originals` contains the functions that can be overridden. Raises `TypeError` for a wrong declaration.
    """

    function: Function
    overrides: Mapping[Function, Function] = field(default_factory=dict)
    originals: set[Function] = field(default_factory=set, init=False)
    _parameters: dict[Function, list[Parameter]] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self._read(self.function, ())

    @property
    def arguments(self) -> list[Parameter]:
        """Return the parameters of the tool function that the model supplies."""
        return [each for each in self._parameters[self.function] if _is_argument(each)]

    def values(self, context: ToolContext) -> dict[str, Any]:
        """Call the dependencies. Return the values of the tool function's other parameters."""
        return self._values(self.function, context, {})

    def _read(self, function: Function, path: tuple[Function, ...]) -> None:
        if function in path:
            raise TypeError(f"`{name_of(function)}` depends on itself; remove one of its dependencies")
        self._parameters[function] = parameters = _read_parameters(function)
        for each in parameters:
            if path and _is_argument(each) and each.default is Parameter.empty:
                raise TypeError(
                    f"the parameter `{each.name}` of the dependency `{name_of(function)}` has no value; write "
                    f"`{each.name}: Annotated[…, Depends(…)]`, `{each.name}: ToolContext`, or a default"
                )
            if found := _dependency(each):
                self.originals.add(found.function)
                self._read(self._chosen(found), (*path, function))

    def _chosen(self, dependency: Depends) -> Function:
        return self.overrides.get(dependency.function, dependency.function)

    def _values(self, function: Function, context: ToolContext, results: dict[Function, Any]) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for each in self._parameters[function]:
            if each.annotation is ToolContext:
                values[each.name] = context
            elif dependency := _dependency(each):
                chosen = self._chosen(dependency)
                if chosen not in results:
                    results[chosen] = chosen(**self._values(chosen, context, results))
                values[each.name] = results[chosen]
        return values


def name_of(function: Function) -> str:
    return str(getattr(function, "__name__", type(function).__name__))


def _dependency(parameter: Parameter) -> Depends | None:
    marks = get_args(parameter.annotation)[1:] if get_origin(parameter.annotation) is Annotated else ()
    return next((mark for mark in marks if isinstance(mark, Depends)), None)


def _is_argument(parameter: Parameter) -> bool:
    return parameter.annotation is not ToolContext and _dependency(parameter) is None


def _read_parameters(function: Function) -> list[Parameter]:
    """Return the parameters of a tool function or a dependency. Raise `TypeError` if it cannot be called by name."""
    name = name_of(function)
    checks = (inspect.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isasyncgenfunction)
    if not callable(function) or any(check(function) for check in checks):
        raise TypeError(f"`{name}` must be a function that returns its result; write `def` with `return`")
    try:
        parameters = list(inspect.signature(function, eval_str=True).parameters.values())
    except (NameError, ValueError) as error:
        raise TypeError(f"the types of `{name}` are not known; define or import them at the top level") from error
    for each in parameters:
        if each.kind not in {Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY}:
            raise TypeError(f"`{name}` must have named parameters; replace `{each}` by `{each.name}: <type>`")
        if isinstance(each.default, Depends):
            raise TypeError(f"write `{each.name}: Annotated[<type>, Depends(…)]` without a default in `{name}`")
        if each.annotation is Parameter.empty:
            raise TypeError(f"the parameter `{each.name}` of `{name}` has no type; write `{each.name}: <type>`")
    return parameters
