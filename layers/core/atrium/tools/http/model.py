"""The definition of a tenant's HTTP tool, and its validation. `input_schema` is validated by `schema.py`."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Literal
from urllib.parse import urlsplit

from atrium.egress.destination import Destination, HostList, Rules, read_url
from atrium.egress.exchange import check_headers
from atrium.egress.failures import OutboundRefused
from atrium.identity.social.descriptions import DESCRIPTIONS, ProviderName
from atrium.kernel.errors import invalid_field, list_valid
from atrium.kernel.ids import ToolId
from atrium.llm.normalise import UNAVAILABLE_TOOL
from atrium.tools.done import DONE
from atrium.tools.http.schema import check_schema
from atrium.tools.http.template import find_placeholders, find_texts, query_pairs, with_sample
from atrium.tools.model import EffectClass, ToolPermission
from atrium.tools.registry import BUILT_IN

TOOLS_MAX = 100
# The definitions of all tools must fit into a Lambda response of 6 MB.
REQUEST_BYTES_MAX = 20_000
TIMEOUT_SECONDS_DEFAULT, TIMEOUT_SECONDS_MAX = 10, 20
SECRETS_MAX, SECRET_CHARACTERS_MIN, SECRET_CHARACTERS_MAX = 10, 8, 2_000
VALUE_PATTERN = r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?"
RESERVED_NAMES = frozenset({*(tool.name for tool in BUILT_IN), DONE.name, UNAVAILABLE_TOOL.name})
IDEMPOTENCY_HEADER = "idempotency-key"
SECRET_HEADERS = frozenset({"authorization", "cookie", "x-api-key", "api-key"})
_URL = re.compile(r"[\x21-\x7e]+")

type Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]


@dataclass(frozen=True, slots=True)
class RequestTemplate:
    """The request of a tool, with placeholders. Without `body`, the request has no body."""

    method: Method
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    body: Any = None

    @property
    def origin(self) -> str:
        """Return scheme, host and port as they are written in the URL."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}".lower()


@dataclass(frozen=True, slots=True)
class ToolDefinition:
    """An HTTP tool of a tenant. `sealed_secrets` are the encrypted values of `secret_names`, as one JSON object.

    With `connection`, a call has the access token of the caller's connection to this provider.
    """

    id: ToolId
    name: str
    description: str
    input_schema: Mapping[str, Any]
    http: RequestTemplate
    effect: EffectClass
    permission: ToolPermission
    created_at: datetime
    updated_at: datetime
    timeout_seconds: int = TIMEOUT_SECONDS_DEFAULT
    requires_approval: bool = False
    connection: ProviderName | None = None
    version: int = 1
    secret_names: tuple[str, ...] = ()
    sealed_secrets: bytes = field(default=b"", repr=False)

    @property
    def purpose(self) -> str:
        """Return the purpose for which the secrets are encrypted. They cannot be decrypted for another host."""
        return f"tool:{self.id}:{self.http.origin}"


def check_definition(tool: ToolDefinition, local_addresses: frozenset[str]) -> None:
    """Raise `ValidationFailed` if a definition is not valid."""
    if tool.name in RESERVED_NAMES:
        raise invalid_field("name", "is the name of a built-in tool; choose another name")
    try:
        check_schema(tool.input_schema)
    except ValueError as error:
        raise invalid_field("input_schema", str(error)) from error
    if tool.http.body is not None and tool.http.method == "GET":
        raise invalid_field("http.body", "is not possible with the method GET")
    if len(json.dumps(asdict(tool.http), ensure_ascii=False).encode()) > REQUEST_BYTES_MAX:
        raise invalid_field("http", f"must have at most {REQUEST_BYTES_MAX} bytes as JSON")
    there = _check_url(tool.http, local_addresses)
    sent = _check_headers(tool.http)
    if tool.connection is not None:
        hosts = DESCRIPTIONS[tool.connection].api_hosts
        if there.host not in local_addresses and not HostList(hosts).permits(there.host):
            raise invalid_field("http.url", f"must have a host of the provider `connection`: {list_valid(hosts)}")
        if "authorization" in sent:
            raise invalid_field("http.headers", "must not contain authorization, because `connection` sets it")
    for field_name, text in _texts(tool.http):
        _check_placeholders(tool, field_name, text)
    if {"{", "}"} & set(with_sample(tool.http.url)):
        raise invalid_field("http.url", "must have braces only around the names of arguments")


def _check_url(http: RequestTemplate, local_addresses: frozenset[str]) -> Destination:
    """Check the URL with a sample for each placeholder, and return its destination.

    Arguments cannot change the parts that are checked here.
    """
    name = "http.url"
    if not _URL.fullmatch(http.url) or "#" in http.url:
        raise invalid_field(name, "must be an absolute URL of visible ASCII characters without a fragment")
    try:
        parts = urlsplit(http.url)
        names = [each for each, _ in query_pairs(http.url, {})]
        if {"{", "}"} & set("".join((parts.scheme, parts.netloc, *names))):
            raise invalid_field(name, "must have placeholders only in its path and in values of its query")
        there = read_url(with_sample(http.url), Rules(local_addresses=local_addresses))
    except ValueError as error:
        raise invalid_field(name, "must be an absolute URL with a valid host and port") from error
    except OutboundRefused as error:
        raise invalid_field(name, str(error)) from error
    if there.scheme != "https" and there.host not in local_addresses:
        raise invalid_field(name, "must have the scheme https")
    if any(each.kind == "secret" for each in find_placeholders(parts.path)):
        raise invalid_field(name, "must not have secrets in its path; use a header, the query or the body")
    return there


def _check_headers(http: RequestTemplate) -> Mapping[str, str]:
    """Check the headers, and return them with names in lower case and a sample for each placeholder."""
    name = "http.headers"
    try:
        sent = check_headers({each: with_sample(value) for each, value in http.headers.items()})
    except OutboundRefused as error:
        raise invalid_field(name, str(error)) from error
    if len(sent) < len(http.headers) or IDEMPOTENCY_HEADER in sent:
        raise invalid_field(name, f"must have different names, and not {IDEMPOTENCY_HEADER}, which the platform sets")
    for each, value in http.headers.items():
        kinds = {found.kind for found in find_placeholders(value)}
        if "argument" in kinds:
            raise invalid_field(name, "must not contain arguments; only secrets are possible in headers")
        if each.lower() in SECRET_HEADERS and "secret" not in kinds:
            raise invalid_field(name, f"must use a secret in {each.lower()}: write {{{{secret.NAME}}}} and `secrets`")
    return sent


def _texts(http: RequestTemplate) -> Iterator[tuple[str, str]]:
    """Yield the texts that can contain placeholders, with the field to which they belong."""
    yield from (("path", segment) for segment in urlsplit(http.url).path.split("/"))
    yield from (("http.url", value) for _, value in query_pairs(http.url, {}))
    yield from (("http.headers", value) for value in http.headers.values())
    yield from (("http.query", value) for value in http.query.values())
    yield from (("http.body", text) for text in find_texts(http.body))


def _check_placeholders(tool: ToolDefinition, place: str, text: str) -> None:
    """Check that the placeholders of a text have values in every call."""
    name = "http.url" if place == "path" else place
    if "{{secret" in with_sample(text):
        raise invalid_field(name, "must write a secret as {{secret.NAME}}, with letters, digits and _ in NAME")
    schema = tool.input_schema
    for each in find_placeholders(text):
        if each.kind == "secret" and each.name not in tool.secret_names:
            raise invalid_field("secrets", f"must contain {each.name}, which `{name}` uses")
        if each.kind == "argument" and each.name not in schema.get("properties", {}):
            raise invalid_field(name, f"must use only arguments of `input_schema.properties`, not {each.name}")
        always = place == "path" or not each.is_whole
        if each.kind == "argument" and always and each.name not in schema.get("required", ()):
            raise invalid_field(
                "input_schema", f"must have {each.name} in `required`, because `{name}` always needs it"
            )
