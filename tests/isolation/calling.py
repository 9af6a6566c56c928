"""A gateway that sends requests through the authorizer to an application, and records the AWS calls."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from typing import Any

from atrium.bootstrap import Runtime
from starlette.testclient import TestClient

from functions.authorizer.app import answer as authorize
from functions.authorizer.authorize import Authorizer
from tests.builders.api_env import Holder
from tests.builders.authorizing import authorizer_event, effect
from tests.builders.gateway import Gateway, request_context
from tests.isolation.permissions import granted
from tests.isolation.recording import recording

type Fields = Mapping[str, Any]


@dataclass(frozen=True)
class Call:
    """A request. `function` is the name of the function that serves the route."""

    function: str
    method: str
    path: str
    headers: Mapping[str, str]
    query: Mapping[str, str] = field(default_factory=dict)
    body: Any = None


@dataclass(frozen=True)
class Answer:
    """An HTTP response, and the names of the DynamoDB and S3 operations that the function called."""

    status: int
    text: str
    headers: Mapping[str, str]
    calls: tuple[str, ...]

    @property
    def json(self) -> Any:
        return json.loads(self.text)

    @property
    def code(self) -> str:
        if "error" in self.json:  # in a vendor's format
            return str(self.json["error"]["code"]).upper()
        return str(self.json["code"])

    def __str__(self) -> str:
        return f"{self.status} {self.text[:300]}"


class IsolationGateway:
    """The gateway of one deployment, with the real authorizer."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._authorizer = Authorizer(runtime)

    def call(self, call: Call) -> Answer:
        """Send a request, and assert that the function's role permits all AWS calls.

        The authorizer is called only if the request has a credential. Otherwise, the function itself must check whether
        the request is permitted.
        """
        fields: Fields | None = None
        if {"authorization", "x-api-key"} & {name.lower() for name in call.headers}:
            try:
                policy: dict[str, Any] = authorize(authorizer_event(call.headers), self._authorizer)
            except Exception as error:
                if str(error) != "Unauthorized":
                    raise
                return Answer(401, json.dumps({"code": "UNAUTHENTICATED"}), {}, ())
            if effect(policy)[0] == "Deny":
                return Answer(403, json.dumps(policy["context"]), {}, ())
            fields = dict(policy["context"])
        with recording(self._runtime.table.client, self._runtime.bucket.client) as noted:
            came = self._send(call, fields)
        missing = noted.needed - granted(call.function)
        assert not missing, (
            f"{call.method} {call.path}: the role of {call.function} in template.yaml lacks {sorted(missing)}"
        )
        return Answer(came.status_code, came.text, dict(came.headers), tuple(sorted(noted.operations)))

    def _send(self, call: Call, fields: Fields | None) -> Any:
        holder, gateway, client = _application(call.function)
        holder.runtime, gateway.fields = self._runtime, fields
        context = json.dumps(request_context(call.path, fields))
        headers = {**call.headers, "x-amzn-request-context": context}
        return client.request(call.method, call.path, params=dict(call.query), json=call.body, headers=headers)


@cache
def _application(function: str) -> tuple[Holder, Gateway, TestClient]:
    """Return the application of a function, created once per process. Each call sets the runtime and the context."""
    holder = Holder()
    gateway = Gateway(import_module(f"functions.{function}.app").build(holder), None)
    client = TestClient(gateway, base_url="https://example.org", raise_server_exceptions=False)
    return holder, gateway, client
