"""Request and response models of `/v1/prompts`."""

from collections.abc import Iterable
from typing import Annotated, Any

from atrium.http.fields import OrNone, UniqueName
from atrium.http.models import AnyJson, FreeJson, StrictModel
from atrium.kernel.clock import format_time
from atrium.kernel.errors import named_pattern
from atrium.prompts.model import (
    ITEM_CHARACTERS_MAX,
    ITEMS_MAX,
    NAME_PATTERN,
    STRING_CHARACTERS_MAX,
    TEMPLATE_CHARACTERS_MAX,
    VARIABLES_MAX,
    VERSIONS_MAX,
    Prompt,
    PromptSource,
    PromptVersion,
    Variable,
    VariableType,
)
from atrium.prompts.service import Preview
from pydantic import Field

_VARIABLE_NAME = named_pattern(NAME_PATTERN, "must have 1 to 64 of `a-z`, `0-9` and `_`, and begin with a letter")
Template = Annotated[str, Field(min_length=1, max_length=TEMPLATE_CHARACTERS_MAX)]
Text = Annotated[str, Field(max_length=STRING_CHARACTERS_MAX)]
Texts = Annotated[list[Annotated[str, Field(max_length=ITEM_CHARACTERS_MAX)]], Field(max_length=ITEMS_MAX)]


class PromptVariable(StrictModel):
    """A variable of a prompt."""

    name: Annotated[str, Field(pattern=_VARIABLE_NAME)]
    """Name in the template: 1 to 64 of `a` to `z`, `0` to `9` and `_`, beginning with a letter."""
    type: VariableType = "string"
    """Type of the value: `string`, `integer`, `number`, `boolean` or `list` (of texts). Default `string`."""
    description: Annotated[str, Field(max_length=500)] = ""
    """What the variable is for, at most 500 characters. Default: empty."""
    required: bool = False
    """Whether a value must be given. Default false."""
    default: AnyJson = None
    """Value if none is given. Null or absent: the variable is undefined then. Must be absent if `required` is true."""


Variables = Annotated[list[PromptVariable], Field(max_length=VARIABLES_MAX)]


class PromptBody(StrictModel):
    """A prompt to create."""

    name: UniqueName
    """Unique name of the prompt in the tenant, 1 to 100 visible characters without `#`."""
    description: OrNone[Annotated[str, Field(max_length=1_000)]] = None
    """Purpose of the prompt, at most 1,000 characters. Null or absent: no description."""
    template: Template
    """Text with variables, such as `{{ topic }}`, at most 32,000 characters."""
    variables: Variables = Field(default_factory=list)
    """Variables of the template, at most 50. The built-in variables need no declaration. Default: empty."""


class PromptPatch(StrictModel):
    """The fields of a prompt to change. Absent fields are not changed. `variables` are replaced as a whole."""

    name: UniqueName = Field(default_factory=str)
    """Unique name of the prompt in the tenant, 1 to 100 visible characters without `#`."""
    description: OrNone[Annotated[str, Field(max_length=1_000)]] = None
    """Purpose of the prompt, at most 1,000 characters. Null: no description."""
    template: Template = Field(default_factory=str)
    """Text with variables, at most 32,000 characters. Another template makes a new version."""
    variables: Variables = Field(default_factory=list)
    """Variables of the template, at most 50. Other variables make a new version."""


class BuiltInValues(StrictModel):
    """Values of the built-in variables in a preview. In a turn, the platform sets them."""

    agent: Text | None = None
    """Name of the agent. Default `assistant`."""
    company: Text | None = None
    """Display name of the tenant, which is the default."""
    capabilities: Texts | None = None
    """What the agent's tools do, one sentence each. Default: empty."""
    tools: Texts | None = None
    """Names of the agent's tools. Default: empty."""
    user_name: Text | None = None
    """Name of the user or end user. Default: the caller's name."""
    time_zone: Text | None = None
    """Time zone of the user. Default `UTC`."""
    language: Text | None = None
    """Language of the user. Default `en`."""
    date: Text | None = None
    """Date in the time zone of the user. Default: today."""


class PromptRenderBody(StrictModel):
    """Values for the preview of a stored prompt."""

    version: Annotated[int, Field(ge=1, le=VERSIONS_MAX)] | None = None
    """Version to render. Null or absent: the newest version."""
    values: FreeJson = Field(default_factory=dict)
    """Values of the declared variables, by name. Default: empty."""
    built_in: BuiltInValues = Field(default_factory=BuiltInValues)
    """Values of the built-in variables. Default: examples."""


class TemplateRenderBody(StrictModel):
    """A template that is not stored, and values for its preview."""

    template: Template
    """Text with variables, at most 32,000 characters."""
    variables: Variables = Field(default_factory=list)
    """Variables of the template, at most 50. Default: empty."""
    values: FreeJson = Field(default_factory=dict)
    """Values of the declared variables, by name. Default: empty."""
    built_in: BuiltInValues = Field(default_factory=BuiltInValues)
    """Values of the built-in variables. Default: examples."""


class PromptAnswer(StrictModel):
    """A prompt with its newest version."""

    id: str
    """Id of the prompt."""
    name: str
    """Unique name of the prompt in the tenant."""
    description: str | None
    """Purpose of the prompt. Null if there is no description."""
    source: PromptSource
    """`builtin` for a shipped prompt, which cannot be changed, or `tenant`."""
    version: int
    """Number of the newest version."""
    template: str
    """Template of the newest version."""
    variables: list[PromptVariable]
    """Variables of the newest version."""
    created_at: str
    """When the prompt was created (RFC 3339, UTC)."""
    updated_at: str
    """When the prompt was last changed (RFC 3339, UTC)."""


class PromptVersionAnswer(StrictModel):
    """A version of a prompt."""

    version: int
    """Number of the version, from 1."""
    template: str
    """Template of the version."""
    variables: list[PromptVariable]
    """Variables of the version."""
    created_at: str
    """When the version was created (RFC 3339, UTC)."""


class PreviewAnswer(StrictModel):
    """The text of a template."""

    text: str
    """The rendered text."""
    estimated_tokens: int
    """Estimated tokens of the text, at three bytes per token."""
    variables_used: list[str]
    """Names of the variables that the template uses, sorted."""


def read_variables(variables: Iterable[PromptVariable]) -> tuple[Variable, ...]:
    return tuple(Variable(**dict(each)) for each in variables)


def read_fields(body: PromptPatch) -> dict[str, Any]:
    """Return the fields that were sent, converted to domain types."""
    fields = {name: getattr(body, name) for name in body.model_fields_set}
    fields |= {"description": body.description or ""} if "description" in fields else {}
    return fields | ({"variables": read_variables(body.variables)} if "variables" in fields else {})


def render_prompt(prompt: Prompt) -> PromptAnswer:
    newest = prompt.newest
    return PromptAnswer(
        id=prompt.id,
        name=prompt.name,
        description=prompt.description or None,
        source=prompt.source,
        version=newest.version,
        template=newest.template,
        variables=_show_variables(newest),
        created_at=format_time(prompt.created_at),
        updated_at=format_time(prompt.updated_at),
    )


def render_version(version: PromptVersion) -> PromptVersionAnswer:
    return PromptVersionAnswer(
        version=version.version,
        template=version.template,
        variables=_show_variables(version),
        created_at=format_time(version.created_at),
    )


def render_preview(preview: Preview) -> PreviewAnswer:
    return PreviewAnswer(text=preview.text, estimated_tokens=preview.tokens, variables_used=list(preview.names))


def _show_variables(version: PromptVersion) -> list[PromptVariable]:
    return [PromptVariable(**each.definition()) for each in version.variables]
