"""The tool model: description, arguments, function, return values and failures.

A tool returns a string, a JSON value or pydantic model (sent to the model as compact JSON), or a sequence of text and
image blocks.

A tool fails with `ToolRetry` (wrong arguments; the model should retry) or `ToolRefusal` (the model should not retry).
Any other exception is a defect: it is logged, and the model receives a tool result that says that the tool failed.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from pydantic import BaseModel

from atrium.egress.exchange import OutboundRequest, OutboundResponse
from atrium.egress.failures import OutboundFailed, OutboundRefused
from atrium.identity.social.descriptions import ProviderName
from atrium.kernel.clock import Clock
from atrium.kernel.ids import RunId, TenantId, is_stateless, session_of
from atrium.policy.outbound import OutboundGuard
from atrium.storage.blobs import TenantBlobs
from atrium.storage.secret_encryption import SecretEncryption
from atrium.storage.table import TenantTable
from atrium.tenants.context import TenantContext
from atrium.tools.search_provider import WebSearch

type EffectClass = Literal["pure", "idempotent", "effectful"]
"""What a repeated call does: nothing at all, the same effect once (`ToolContext.idempotency_key`), or its effect again.
If a worker fails during a call of the last kind, the call is not repeated.
"""
type ToolPermission = Literal["read", "write", "execute", "admin"]
type ToolOutput = str | int | float | bool | BaseModel | Mapping[str, object] | Sequence[object] | None


class ToolRetry(Exception):
    """The call can succeed with other arguments. The text of the exception is sent to the model."""


class ToolRefusal(Exception):
    """The call cannot succeed. The text of the exception is sent to the model."""


class Passage(Protocol):
    """A passage of a document. `position` is its number in the document, from 0. A better match has a higher score."""

    @property
    def document(self) -> str: ...
    @property
    def position(self) -> int: ...
    @property
    def text(self) -> str: ...
    @property
    def score(self) -> float: ...


class KnowledgeSearch(Protocol):
    """Searches the documents of one tenant that one caller may read."""

    def search(self, namespaces: Sequence[str], query: str, top_k: int) -> Sequence[Passage]:
        """Return at most `top_k` passages, the best match first.

        Raises an `AtriumError` whose detail is sent to the model, such as `NotFound` for a namespace that does not
        exist or that the caller must not read.
        """
        ...


@dataclass(frozen=True, slots=True)
class ToolServices:
    """The services of the platform that tools use for a caller. None: this deployment does not have the service.

    `access_token` returns an access token of the caller's connection to a provider (`identity.connections.tokens`).
    """

    caller: TenantContext
    table: TenantTable
    blobs: TenantBlobs
    outbound: OutboundGuard
    secret_encryption: Callable[[], SecretEncryption]
    access_token: Callable[[ProviderName], str]
    web_search: WebSearch | None = None
    knowledge: KnowledgeSearch | None = None


@dataclass(frozen=True, slots=True)
class ToolContext:
    """The data that a tool can use during a call, in addition to the arguments.

    `idempotency_key` identifies the call. If another worker repeats the call of a failed worker, the key is the same.
    `services` is None if the agent runs in a program of its own (`atrium.sdk`).
    """

    tenant_id: TenantId
    run_id: RunId
    clock: Clock
    end_user: str = ""
    idempotency_key: str = ""
    services: ToolServices | None = None

    @property
    def session_id(self) -> str:
        """Return the id of the run's session, or "" for a run without a session and for a call outside of a run."""
        return session_of(self.run_id) if self.run_id and not is_stateless(self.run_id) else ""

    def require_services(self) -> ToolServices:
        """Return the services of the platform. Raise `ToolRefusal` in a program that runs an agent without them."""
        if self.services is None:
            raise ToolRefusal("This tool works only for agents that run on the platform.")
        return self.services

    def send(self, request: OutboundRequest, tool: str) -> OutboundResponse:
        """Make an outbound call for a tool. Raise `ToolRefusal` if it is not allowed, and `ToolRetry` if it failed."""
        outbound = self.require_services().outbound
        try:
            return outbound.send(request, f"tool:{tool}", session_id=self.session_id, end_user=self.end_user)
        except OutboundRefused as error:
            raise ToolRefusal(f"Not called: {error}.") from error
        except OutboundFailed as error:
            raise ToolRetry(f"The call failed: {error}.") from error


@dataclass(frozen=True, slots=True)
class Tool[Arguments: BaseModel]:
    """A tool of the registry. `timeout_seconds` limits one call, `calls_per_minute` the calls of a tenant in a minute.

    If `requires_approval`, a run waits before each call until a person approves it.
    A model request contains only the newest `ephemeral` outputs of the tool, and a short text instead of older outputs.
    None means the default of the category (`atrium.context.conversation`).
    """

    name: str
    description: str
    category: str
    arguments: type[Arguments]
    run: Callable[[Arguments, ToolContext], ToolOutput]
    version: str = "1"
    permission: ToolPermission = "read"
    effect: EffectClass = "effectful"
    timeout_seconds: int = 30
    calls_per_minute: int = 100
    requires_approval: bool = False
    ephemeral: int | None = None

    def input_schema(self) -> dict[str, Any]:
        """Return the JSON Schema of the arguments."""
        schema = self.arguments.model_json_schema()
        schema.pop("title", None)
        return schema

    def read(self, arguments: Mapping[str, Any]) -> Arguments:
        """Validate the arguments of a call. Raise `pydantic.ValidationError`."""
        return self.arguments.model_validate(dict(arguments))

    def call(self, arguments: Mapping[str, Any], context: ToolContext) -> ToolOutput:
        """Validate the arguments and run the tool. Raise `pydantic.ValidationError`, `ToolRetry` or `ToolRefusal`."""
        return self.run(self.read(arguments), context)
