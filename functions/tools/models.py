"""Request and response models of `/v1/tools`."""

from typing import Annotated, Any

from atrium.http.models import AnyJson, FreeJson, StrictModel
from atrium.identity.social.descriptions import ProviderName
from atrium.kernel.clock import format_time
from atrium.kernel.errors import named_pattern
from atrium.llm.normalise import NAME_PATTERN, NAME_RULE
from atrium.tools.http.model import (
    SECRET_CHARACTERS_MAX,
    SECRET_CHARACTERS_MIN,
    SECRETS_MAX,
    TIMEOUT_SECONDS_DEFAULT,
    TIMEOUT_SECONDS_MAX,
    VALUE_PATTERN,
    Method,
    RequestTemplate,
    ToolDefinition,
)
from atrium.tools.http.template import NAME_PATTERN as SECRET_NAME_PATTERN
from atrium.tools.model import EffectClass, Tool, ToolPermission
from pydantic import Field

_NAME = named_pattern(f"^{NAME_PATTERN}$", NAME_RULE)
_SECRET_NAME = named_pattern(
    f"^{SECRET_NAME_PATTERN}$", "must have 1 to 64 letters, digits or `_`, and begin with a letter"
)
_SECRET = named_pattern(f"^{VALUE_PATTERN}$", "must have only visible ASCII characters, and spaces between them")
ToolName = Annotated[str, Field(pattern=_NAME)]
Description = Annotated[str, Field(min_length=1, max_length=1_000)]
Timeout = Annotated[int, Field(ge=1, le=TIMEOUT_SECONDS_MAX)]
SecretName = Annotated[str, Field(pattern=_SECRET_NAME)]
Secret = Annotated[
    str,
    Field(min_length=SECRET_CHARACTERS_MIN, max_length=SECRET_CHARACTERS_MAX, pattern=_SECRET),
]
HeaderName = Annotated[str, Field(min_length=1, max_length=100)]
Template = Annotated[str, Field(max_length=2_000)]
Templates = Annotated[dict[HeaderName, Template], Field(max_length=20)]


class HttpRequest(StrictModel):
    """The HTTP request of a tool, at most 20,000 bytes. `{argument}` and `{{secret.NAME}}` are placeholders."""

    method: Method
    """HTTP method."""
    url: Annotated[str, Field(min_length=1, max_length=2_000)]
    """URL with the scheme `https`. Arguments are possible in its path and in values of its query."""
    headers: Templates = Field(default_factory=dict)
    """Headers, at most 20. Secrets are possible in the values, arguments are not. Default: empty."""
    query: Templates = Field(default_factory=dict)
    """Parameters that are added to the query, at most 20. Default: empty."""
    body: AnyJson = None
    """JSON body. A string that is only a placeholder is replaced by the value with its type. Null: no body."""


class ToolBody(StrictModel):
    """An HTTP tool to create."""

    name: ToolName
    """Unique name of the tool in the tenant: 1 to 64 letters, digits, `_` or `-`. Not the name of a built-in tool."""
    description: Description
    """What the tool does, for the model, 1 to 1,000 characters."""
    input_schema: FreeJson
    """JSON Schema of the arguments, with the type `object`, at most 16,000 bytes."""
    http: HttpRequest
    """The HTTP request of the tool."""
    secrets: Annotated[dict[SecretName, Secret], Field(max_length=SECRETS_MAX)] = Field(default_factory=dict)
    """Values of the secrets by name, at most 10, each with 8 to 2,000 visible ASCII characters. They are never
    returned. Default: empty.
    """
    effect: EffectClass
    """Effect of a repeated call: `pure` (none), `idempotent` (the same effect once) or `effectful` (again)."""
    permission: ToolPermission = Field(default_factory=lambda: "read")
    """Permission that a call needs. Default: `read` if the effect is `pure`, otherwise `write`."""
    timeout_seconds: Timeout = TIMEOUT_SECONDS_DEFAULT
    """Maximum duration of a call in seconds, 1 to 20. Default 10."""
    requires_approval: bool = False
    """Whether a person must approve each call of the tool in a run. Default false."""
    connection: ProviderName | None = None
    """Provider whose access token the request contains: `Authorization: Bearer …` with the token of the caller's
    connection. The tenant must have configured the provider. Default: null, no connection.
    """


class ToolPatch(StrictModel):
    """The fields of an HTTP tool to change. Absent fields are not changed. `http` is replaced as a whole."""

    name: ToolName = Field(default_factory=str)
    """Unique name of the tool. It cannot be changed while an agent has the tool."""
    description: Description = Field(default_factory=str)
    """What the tool does, for the model, 1 to 1,000 characters."""
    input_schema: FreeJson = Field(default_factory=dict)
    """JSON Schema of the arguments. Replaced as a whole."""
    http: HttpRequest = Field(default_factory=lambda: HttpRequest(method="GET", url="https://example.com"))
    """The HTTP request of the tool. Replaced as a whole."""
    secrets: Annotated[dict[SecretName, Secret | None], Field(max_length=SECRETS_MAX)] = Field(default_factory=dict)
    """Values of secrets to set. Null deletes a secret. Absent secrets are not changed. If the scheme, host or port of
    `http.url` changes, all secrets must be set again.
    """
    effect: EffectClass = Field(default_factory=lambda: "effectful")
    """Effect of a repeated call: `pure`, `idempotent` or `effectful`."""
    permission: ToolPermission = Field(default_factory=lambda: "read")
    """Permission that a call needs."""
    timeout_seconds: Timeout = Field(default_factory=int)
    """Maximum duration of a call in seconds, 1 to 20."""
    requires_approval: bool = Field(default_factory=bool)
    """Whether a person must approve each call of the tool in a run."""
    connection: ProviderName | None = None
    """Provider whose access token the request contains. Null: no connection."""


class ToolAnswer(StrictModel):
    """A built-in tool, or an HTTP tool of the tenant."""

    id: str | None
    """Id of the tool. Null for a built-in tool."""
    name: str
    """Name of the tool, for `tools` of an agent and for policies (`tool:{name}`)."""
    description: str
    """What the tool does."""
    category: str
    """Category of the tool. `http` for tools of the tenant."""
    version: str
    """Version of the tool. Each change of an HTTP tool increases it."""
    input_schema: dict[str, Any]
    """JSON Schema of the arguments."""
    effect: EffectClass
    """Effect of a repeated call."""
    permission: ToolPermission
    """Permission that a call needs."""
    timeout_seconds: int
    """Maximum duration of a call in seconds."""
    calls_per_minute: int
    """Maximum number of calls in a minute by all runs of the tenant."""
    requires_approval: bool
    """Whether a person must approve each call of the tool in a run."""
    connection: ProviderName | None
    """Provider whose access token the request contains. Null: no connection."""
    http: HttpRequest | None
    """The HTTP request of the tool. Null for a built-in tool."""
    secrets: list[str]
    """Names of the secrets. Their values are never returned."""
    allowed: bool
    """Whether the policies allow the caller to call the tool."""
    created_at: str | None
    """When the tool was created (RFC 3339, UTC). Null for a built-in tool."""
    updated_at: str | None
    """When the tool was last changed (RFC 3339, UTC). Null for a built-in tool."""


class ToolTestBody(StrictModel):
    """A test call of an HTTP tool."""

    arguments: FreeJson
    """Arguments of the call."""


class ToolTestAnswer(StrictModel):
    """The result of a test call, as a model would receive it."""

    result: str
    """Text or JSON of the response, or the error. At most 50,000 characters."""
    is_error: bool
    """Whether the call failed."""


def read_fields(body: ToolBody | ToolPatch) -> dict[str, Any]:
    """Return the fields that were sent, as domain types."""
    fields: dict[str, Any] = {name: getattr(body, name) for name in sorted(body.model_fields_set)}
    if "http" in fields:
        fields["http"] = RequestTemplate(**body.http.model_dump())
    return fields


def render_tool(tool: Tool[Any], definition: ToolDefinition | None, *, allowed: bool) -> ToolAnswer:
    http = definition.http if definition else None
    return ToolAnswer(
        id=definition.id if definition else None,
        name=tool.name,
        description=tool.description,
        category=tool.category,
        version=tool.version,
        input_schema=tool.input_schema(),
        effect=tool.effect,
        permission=tool.permission,
        timeout_seconds=tool.timeout_seconds,
        calls_per_minute=tool.calls_per_minute,
        requires_approval=tool.requires_approval,
        connection=definition.connection if definition else None,
        http=HttpRequest(
            method=http.method, url=http.url, headers=dict(http.headers), query=dict(http.query), body=http.body
        )
        if http
        else None,
        secrets=list(definition.secret_names) if definition else [],
        allowed=allowed,
        created_at=format_time(definition.created_at) if definition else None,
        updated_at=format_time(definition.updated_at) if definition else None,
    )
