"""A prompt, its versions and variables, and the validation of values. Nothing here needs the template engine."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from atrium.kernel.ids import PromptId

type VariableType = Literal["string", "integer", "number", "boolean", "list"]
type PromptSource = Literal["builtin", "tenant"]
type Value = str | int | float | bool | Sequence[str]
type Values = Mapping[str, Value]

PROMPTS_MAX = 100
VERSIONS_MAX = 1_000
TEMPLATE_CHARACTERS_MAX = 32_000
VARIABLES_MAX = 50
VARIABLES_BYTES_MAX = 200_000
"""Maximum size of the declarations of a version. With the template, they fit into an item."""
STRING_CHARACTERS_MAX = 4_000
ITEMS_MAX = 100
ITEM_CHARACTERS_MAX = 500
VALUES_CHARACTERS_MAX = 50_000
"""Maximum size of all values of a rendering together."""
INTEGER_MAX = 2**53
BUILT_IN: Mapping[str, VariableType] = {
    "agent": "string",
    "company": "string",
    "capabilities": "list",
    "tools": "list",
    "user_name": "string",
    "time_zone": "string",
    "language": "string",
    "date": "string",
}
"""The variables that every template can use without a declaration, and their types."""
_RESERVED = frozenset({"and", "caller", "elif", "else", "false", "for", "if", "in", "is", "loop", "none", "not", "or"})
_RESERVED |= {"self", "super", "true", "varargs", "kwargs"}
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
NAME_PATTERN = f"^{_NAME.pattern}$"
_TYPES: Mapping[VariableType, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "list": (list, tuple),
}


class PromptFault(Exception):
    """A template, declaration or value is invalid. `line` is the line of the template, or 0 if there is none."""

    def __init__(self, reason: str, line: int = 0) -> None:
        super().__init__(reason)
        self.reason, self.line = reason, line

    @property
    def message(self) -> str:
        return f"line {self.line}: {self.reason}" if self.line else self.reason


@dataclass(frozen=True, slots=True)
class Variable:
    """A declared variable. An optional variable without a value and without `default` is undefined in the template."""

    name: str
    type: VariableType = "string"
    description: str = ""
    required: bool = False
    default: Value | None = None

    def definition(self) -> dict[str, Any]:
        """Return the variable as JSON values, for responses and items."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class PromptVersion:
    """A template and its variables, which never change."""

    prompt_id: PromptId
    version: int
    template: str
    variables: tuple[Variable, ...]
    created_at: datetime

    def bind(self, given: Mapping[str, Any]) -> dict[str, Value]:
        """Return the values of the declared variables. Raise `PromptFault` for an unknown, missing or invalid value."""
        declared = {variable.name: variable for variable in self.variables}
        if unknown := sorted(given.keys() - declared.keys()):
            raise PromptFault(f"the prompt has no variable `{unknown[0]}`")
        for name, value in given.items():
            check_value(declared[name], value)
        if missing := [each.name for each in self.variables if each.required and each.name not in given]:
            raise PromptFault(f"the variable `{missing[0]}` needs a value")
        defaults = {each.name: each.default for each in self.variables if each.default is not None}
        values = {**defaults, **given}
        if sum(map(_size, values.values())) > VALUES_CHARACTERS_MAX:
            raise PromptFault(f"the values of all variables must have at most {VALUES_CHARACTERS_MAX:,} characters")
        return values


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt with its newest version. `revision` counts all changes, also those that make no new version."""

    id: PromptId
    name: str
    newest: PromptVersion
    created_at: datetime
    updated_at: datetime
    description: str = ""
    revision: int = 1
    source: PromptSource = "tenant"


@dataclass(frozen=True, slots=True)
class PromptReference:
    """The prompt of an agent. Without `version`, it is the newest one.

    With `name`, the prompt is the one that has this name in the turn, and `id` the one that had it when the agent was
    saved. The turn reads both together.
    """

    id: PromptId
    name: str = ""
    version: int | None = None
    variables: Mapping[str, Any] = field(default_factory=dict)


def check_declarations(variables: Sequence[Variable]) -> None:
    """Raise `PromptFault` if a variable is invalid, reserved or declared twice."""
    for at, variable in enumerate(variables):
        if not _NAME.fullmatch(variable.name):
            raise PromptFault(f"the name of variable {at + 1} must be 1 to 64 of a-z, 0-9 and `_`, and begin with a-z")
        if variable.name in _RESERVED or variable.name in BUILT_IN:
            raise PromptFault(f"the name `{variable.name}` is reserved")
        if any(variable.name == each.name for each in variables[:at]):
            raise PromptFault(f"the variable `{variable.name}` is declared twice")
        if variable.default is not None:
            check_value(variable, variable.default)
            if variable.required:
                raise PromptFault(f"the variable `{variable.name}` must not be required and have a default")
    if sum(_size(each.default) for each in variables if each.default is not None) > VALUES_CHARACTERS_MAX:
        raise PromptFault(f"the defaults of all variables must have at most {VALUES_CHARACTERS_MAX:,} characters")


def _size(value: Value) -> int:
    return sum(map(len, value)) if isinstance(value, list | tuple) else len(str(value))


def check_value(variable: Variable, value: object) -> None:
    """Raise `PromptFault` if a value does not fit the type or the bounds of a variable."""
    name, kind = variable.name, variable.type
    if not isinstance(value, _TYPES[kind]) or (kind != "boolean" and isinstance(value, bool)):
        raise PromptFault(f"the value of `{name}` must be of the type {kind}")
    if isinstance(value, str) and len(value) > STRING_CHARACTERS_MAX:
        raise PromptFault(f"the value of `{name}` must have at most {STRING_CHARACTERS_MAX:,} characters")
    if isinstance(value, int | float) and not -INTEGER_MAX <= value <= INTEGER_MAX:
        raise PromptFault(f"the value of `{name}` must be from -2^53 to 2^53")
    if isinstance(value, list | tuple) and not (
        len(value) <= ITEMS_MAX and all(isinstance(each, str) and len(each) <= ITEM_CHARACTERS_MAX for each in value)
    ):
        raise PromptFault(
            f"the value of `{name}` must have at most {ITEMS_MAX} texts of at most {ITEM_CHARACTERS_MAX} characters"
        )
