"""Builders of REQUEST authorizer events, and an authorizer that handles them."""

from collections.abc import Mapping
from typing import Any

import pytest

from functions.authorizer.app import answer
from functions.authorizer.authorize import Authorizer
from tests.builders.deployments import Deployment, counting

METHOD_ARN = "arn:aws:execute-api:eu-central-1:123456789012:abcdef1234/dev/POST/v1/chat/stream"
EVERY_ROUTE = "arn:aws:execute-api:eu-central-1:123456789012:abcdef1234/dev/*/*"

ONE_READ = ["BatchGetItem"]
TOLD = ["PutItem"]  # an audit event of the tenant that the token names
READ_AND_TOLD = [*ONE_READ, *TOLD]

type Headers = Mapping[str, str | list[str]]


def authorizer_event(headers: Headers) -> dict[str, Any]:
    """Build the event of a request with these headers. A list contains the values of a repeated header."""
    several = {name: [value] if isinstance(value, str) else value for name, value in headers.items()}
    return {
        "type": "REQUEST",
        "methodArn": METHOD_ARN,
        "resource": "/v1/chat/stream",
        "path": "/v1/chat/stream",
        "httpMethod": "POST",
        "headers": {name: values[-1] for name, values in several.items()},
        "multiValueHeaders": several,
        "requestContext": {"requestId": "req-1", "identity": {"sourceIp": "203.0.113.7"}},
    }


class AuthorizerEnv:
    """The authorizer of a deployment, in a separate container."""

    def __init__(self, deployment: Deployment, **environment: str) -> None:
        self.deployment = deployment
        self.authorizer = Authorizer(deployment.make_runtime(**environment))

    def ask(self, headers: Headers) -> dict[str, Any]:
        """Return the policy for a request with these headers. Raise the error that the function raises."""
        return answer(authorizer_event(headers), self.authorizer)

    def context(self, headers: Headers) -> dict[str, Any]:
        """Assert that the policy allows all routes, and return its context."""
        policy = self.ask(headers)
        assert effect(policy) == ("Allow", EVERY_ROUTE)
        context: dict[str, Any] = policy["context"]
        return context

    def code(self, headers: Headers) -> str:
        """Assert that the policy denies all routes, and return the error code in its context."""
        policy = self.ask(headers)
        assert effect(policy) == ("Deny", EVERY_ROUTE)
        assert set(policy["context"]) == {"code", "detail"}
        assert policy["context"]["detail"].endswith(".")
        return str(policy["context"]["code"])


def expect_401(authorizer_env: AuthorizerEnv, headers: Headers, *, calls: list[str] | None = None) -> None:
    """Assert that the authorizer raises the error that API Gateway turns into a 401.

    `calls` are the calls to the table that the authorizer must make, by default none.
    """
    with counting(authorizer_env.deployment.table) as made, pytest.raises(Exception) as caught:  # noqa: PT011 - no other type fits
        authorizer_env.ask(headers)
    assert (type(caught.value), str(caught.value)) == (Exception, "Unauthorized")
    assert caught.value.__suppress_context__
    assert made == (calls or [])


def bearer(text: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {text}"}


def effect(policy: Mapping[str, Any]) -> tuple[str, str]:
    """Return the effect and the resource of the policy's only statement."""
    document = policy["policyDocument"]
    (statement,) = document["Statement"]
    assert (document["Version"], statement["Action"]) == ("2012-10-17", "execute-api:Invoke")
    return statement["Effect"], statement["Resource"]
