"""Checks the routes of the template: functions, authorizers, and whether responses are buffered or streamed.

The chat function needs a streaming integration: on AWS, a buffered integration with this function returns 502, and the
default timeout would end a turn after 29 s.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from infra.runtime.functions import FUNCTION_TYPE
from infra.runtime.template import Document

STREAMING_FUNCTION = "ChatFunction"
STREAMING = ("RESPONSE_STREAM", 900_000)
# SAM adds one permission per event to the function's policy, which is limited to 20 480 bytes.
EVENTS_MAX = 40
_OPEN = frozenset(
    {
        ("GET", "/"),
        ("GET", "/docs"),
        ("GET", "/docs/{proxy+}"),
        ("GET", "/v1/health"),
        ("GET", "/v1/health/ready"),
        ("GET", "/v1/openapi.json"),
        ("GET", "/.well-known/jwks.json"),
        ("POST", "/v1/auth/invitations/accept"),
        ("POST", "/v1/auth/login"),
        ("POST", "/v1/auth/refresh"),
        ("GET", "/v1/auth/{provider}/authorize"),
        ("GET", "/v1/auth/{provider}/callback"),
        ("GET", "/oauth/authorize"),
        ("POST", "/oauth/authorize"),
        ("POST", "/oauth/token"),
        ("POST", "/oauth/revoke"),
        ("POST", "/oauth/introspect"),
        ("GET", "/.well-known/oauth-authorization-server"),
        ("GET", "/.well-known/openid-configuration"),
        ("GET", "/.well-known/oauth-protected-resource"),
    }
)
# Public GET routes also support HEAD.
PUBLIC = _OPEN | {("HEAD", path) for method, path in _OPEN if method == "GET"}


@dataclass(frozen=True)
class Route:
    """An Api event of a function.

    `authorizer` is None if the event uses the API's default authorizer. `transfer` is the response transfer mode and
    the timeout in milliseconds.
    """

    function: str
    method: str
    path: str
    authorizer: str | None
    transfer: tuple[Any, Any]

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def is_public(self) -> bool:
        return (self.method, self.path) in PUBLIC


def functions_of(template: Document) -> dict[str, Document]:
    """Return the properties of the template's functions by logical id."""
    return {
        logical_id: resource["Properties"]
        for logical_id, resource in template["Resources"].items()
        if resource.get("Type") == FUNCTION_TYPE
    }


def read_routes(template: Document) -> list[Route]:
    """Return every Api event of every function."""
    return [
        _route(function, event["Properties"])
        for function, properties in functions_of(template).items()
        for event in properties.get("Events", {}).values()
        if event["Type"] == "Api"
    ]


def _route(function: str, event: Document) -> Route:
    return Route(
        function=function,
        method=str(event["Method"]).upper(),
        path=str(event["Path"]),
        authorizer=event.get("Auth", {}).get("Authorizer"),
        transfer=(event.get("ResponseTransferMode"), event.get("TimeoutInMillis")),
    )


def check_streaming(template: Document) -> Iterator[str]:
    """Check that every route of the chat function streams with a timeout of 900 s, and that no other route streams."""
    for route in read_routes(template):
        if route.function == STREAMING_FUNCTION and route.transfer != STREAMING:
            yield f"{route.name} needs ResponseTransferMode RESPONSE_STREAM and TimeoutInMillis 900000"
        if route.function != STREAMING_FUNCTION and route.transfer != (None, None):
            yield f"{route.name} of {route.function} must be buffered, with the default time-out"


def check_events(template: Document) -> Iterator[str]:
    """Check that each route exists once and names its method, and that no function has more than EVENTS_MAX events."""
    routes = read_routes(template)
    for function, count in Counter(route.function for route in routes).items():
        if count > EVENTS_MAX:
            yield f"{function} has {count} Api events, {EVENTS_MAX} at most"
    for name, count in Counter(route.name for route in routes).items():
        if count > 1:
            yield f"{name} is declared {count} times"
    for route in routes:
        if route.method in {"ANY", "OPTIONS"}:
            yield f"{route.name} of {route.function}: name the methods; preflights are the gateway's"


def check_authorizers(template: Document) -> Iterator[str]:
    """Check that public routes and CORS preflights have no authorizer, and other routes have the default authorizer."""
    auth = _api(template).get("Auth", {})
    default = auth.get("DefaultAuthorizer")
    if not default or default not in auth.get("Authorizers", {}):
        yield "the API has no default authorizer"
    elif auth["Authorizers"][default].get("Identity") != {"ReauthorizeEvery": 0}:
        yield "the authorizer must have no identity source and no cache (ReauthorizeEvery: 0)"
    if auth.get("AddDefaultAuthorizerToCorsPreflight") is not False:
        yield "AddDefaultAuthorizerToCorsPreflight must be false: a preflight has no credential"
    routes = read_routes(template)
    for route in routes:
        if route.is_public and route.authorizer != "NONE":
            yield f"{route.name} is public and must have no authorizer"
        if not route.is_public and route.authorizer is not None:
            yield f"{route.name} must have the default authorizer, not {route.authorizer}"
    for method, path in sorted(PUBLIC - {(route.method, route.path) for route in routes}):
        yield f"{method} {path} is public and missing"


def _api(template: Document) -> Document:
    apis = [item for item in template["Resources"].values() if item.get("Type") == "AWS::Serverless::Api"]
    return dict(apis[0]["Properties"]) if len(apis) == 1 else {}
