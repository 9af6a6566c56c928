"""A tool: what the model sees of it, what may run it, and how it fails.

A tool fails in two ways, by what the model should do: `ToolRetry` (the arguments were wrong, try again) and
`ToolRefusal` (accept it). Anything else that it raises is a defect: logged, and told to the model as such.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel

from atrium.kernel.clock import Clock
from atrium.kernel.ids import RunId, TenantId

type EffectClass = Literal["pure", "idempotent", "effectful"]
type ToolPermission = Literal["read", "write", "execute", "admin"]


class ToolRetry(Exception):
    """The call can succeed with other arguments; the text is for the model."""


class ToolRefusal(Exception):
    """The call cannot succeed; the text is for the model."""


@dataclass(frozen=True, slots=True)
class ToolContext:
    """What a tool may know of the call that it serves."""

    tenant_id: TenantId
    run_id: RunId
    clock: Clock
    end_user: str = ""


@dataclass(frozen=True, slots=True)
class Tool[Arguments: BaseModel]:
    """A tool of the registry. `timeout_seconds` bounds one call; `calls_per_minute` is its rate."""

    name: str
    description: str
    category: str
    arguments: type[Arguments]
    run: Callable[[Arguments, ToolContext], str]
    version: str = "1"
    permission: ToolPermission = "read"
    effect: EffectClass = "pure"
    timeout_seconds: int = 30
    calls_per_minute: int = 100

    def input_schema(self) -> dict[str, Any]:
        """Return the JSON schema of the arguments, from their model."""
        schema = self.arguments.model_json_schema()
        schema.pop("title", None)
        return schema

    def call(self, arguments: Mapping[str, Any], context: ToolContext) -> str:
        """Validate the arguments and run; raises `pydantic.ValidationError` and what the tool raises."""
        return self.run(self.arguments.model_validate(dict(arguments)), context)
