"""The tool that a turn calls for a definition: it makes the request, and returns the response with masked secrets."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from pydantic import RootModel, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from atrium.egress.exchange import OutboundRequest, OutboundResponse
from atrium.kernel.errors import AtriumError
from atrium.kernel.media_types import read_media_type
from atrium.storage.secret_encryption import DecryptionFailed, SecretEncryption
from atrium.tools.http.masking import mask_secrets
from atrium.tools.http.model import IDEMPOTENCY_HEADER, ToolDefinition
from atrium.tools.http.schema import find_problems
from atrium.tools.http.template import Values, fill, fill_json, fill_url
from atrium.tools.model import Tool, ToolContext, ToolRefusal, ToolRetry, ToolServices
from atrium.tools.web import read_page

CATEGORY = "http"
RESPONSE_BYTES_MAX = 1_000_000
ERROR_CHARACTERS_MAX = 1_000
_EMPTY = "[The response has no content.]"


class HttpArguments(RootModel[dict[str, Any]]):
    """Arguments that are valid for the schema of an HTTP tool."""


@dataclass(frozen=True, slots=True, eq=False)
class HttpTool(Tool[HttpArguments]):
    """An HTTP tool. Its arguments are validated by the schema of its definition."""

    schema: Mapping[str, Any] = field(default_factory=dict)

    def input_schema(self) -> dict[str, Any]:
        return dict(self.schema)

    def read(self, arguments: Mapping[str, Any]) -> HttpArguments:
        problems = find_problems(self.schema, arguments)
        if problems:
            details = [_detail(place, text) for place, text in problems]
            raise ValidationError.from_exception_data(self.name, details)
        return HttpArguments(dict(arguments))


def make_tool(definition: ToolDefinition) -> HttpTool:
    return HttpTool(
        name=definition.name,
        description=definition.description,
        category=CATEGORY,
        arguments=HttpArguments,
        run=partial(_call, definition),
        version=str(definition.version),
        permission=definition.permission,
        effect=definition.effect,
        timeout_seconds=definition.timeout_seconds,
        requires_approval=definition.requires_approval,
        schema=definition.input_schema,
    )


def open_secrets(definition: ToolDefinition, encryption: SecretEncryption) -> dict[str, str]:
    """Return the secrets of a tool. Costs one call of KMS if there are any. Raise `DecryptionFailed`."""
    if not definition.sealed_secrets:
        return {}
    secrets: dict[str, str] = json.loads(encryption.decrypt(definition.purpose, definition.sealed_secrets))
    return secrets


def _call(definition: ToolDefinition, arguments: HttpArguments, context: ToolContext) -> str:
    began = time.monotonic()
    secrets, token = _open(definition, context.require_services())
    request = _make_request(definition, Values(arguments.root, secrets), context.idempotency_key)
    authorization = {"authorization": f"Bearer {token}"} if token else {}
    left = definition.timeout_seconds - (time.monotonic() - began)
    request = replace(request, headers={**request.headers, **authorization}, seconds_max=left)
    return _read_response(context.send(request, definition.name), (*secrets.values(), token))


def _open(definition: ToolDefinition, services: ToolServices) -> tuple[dict[str, str], str]:
    """Return the secrets of a tool, and the access token of the caller's connection, or "" without `connection`."""
    unreadable = "The secrets of this tool cannot be read. An administrator must set them again."
    try:
        secrets = open_secrets(definition, services.secret_encryption())
        unreadable = "Not called: the client secret of the provider cannot be read. An administrator must set it again."
        return secrets, services.access_token(definition.connection) if definition.connection else ""
    except DecryptionFailed as error:
        raise ToolRefusal(unreadable) from error
    except AtriumError as error:
        raise (ToolRetry if error.retryable else ToolRefusal)(f"Not called: {error.detail}") from error


def _make_request(definition: ToolDefinition, values: Values, idempotency_key: str) -> OutboundRequest:
    http = definition.http
    headers = {name.lower(): fill(value, values) for name, value in http.headers.items()}
    body = b""
    if http.body is not None:
        body = json.dumps(fill_json(http.body, values), ensure_ascii=False).encode()
        headers.setdefault("content-type", "application/json")
    if definition.effect == "idempotent" and idempotency_key:
        headers[IDEMPOTENCY_HEADER] = idempotency_key
    return OutboundRequest(
        http.method,
        fill_url(http.url, http.query, values),
        {"accept": "application/json, text/*", **headers},
        body,
        bytes_max=RESPONSE_BYTES_MAX,
        redirects_max=0,
    )


def _read_response(response: OutboundResponse, secrets: tuple[str, ...]) -> str:
    """Return the JSON or text of a response. Raise `ToolRetry` or `ToolRefusal` for another status."""
    if 200 <= response.status < 300:
        return _read_content(response, secrets) or _EMPTY
    text = f"The server answered with the status {response.status}."
    if response.status < 400:
        raise ToolRefusal(f"{text} Redirects are not followed.")
    try:
        excerpt = _read_content(response, secrets)[:ERROR_CHARACTERS_MAX]
    except (ToolRetry, ToolRefusal):
        excerpt = ""
    raise ToolRetry(f"{text} {excerpt}".strip())


def _read_content(response: OutboundResponse, secrets: tuple[str, ...]) -> str:
    """Return the content as text with masked secrets. JSON is serialised again, so that no escape hides a secret."""
    content_type = mask_secrets(response.headers.get("content-type", "text/plain"), secrets)
    kind, _ = read_media_type(content_type)
    if not response.body:
        return ""
    if kind == "application/json" or kind.endswith("+json"):
        try:
            content = json.dumps(json.loads(response.body), ensure_ascii=False, separators=(",", ":"))
        except (ValueError, RecursionError) as error:
            raise ToolRetry("The response is not valid JSON although its content type is JSON.") from error
    else:
        masked = mask_secrets(response.body.decode("latin-1"), secrets).encode("latin-1")
        content = read_page(replace(response, headers={"content-type": content_type}, body=masked))
    return mask_secrets(content, secrets)


def _detail(place: tuple[str | int, ...], text: str) -> InitErrorDetails:
    return InitErrorDetails(type=PydanticCustomError("schema", "{text}", {"text": text}), loc=place, input=None)
