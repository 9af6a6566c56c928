"""Invokes the authorizer function for each request, as API Gateway does without an authorizer cache."""

import json
from typing import Any

from infra.local.gateway.events import Call, Event, authorizer_event, dump
from infra.local.gateway.policies import PolicyInvalid, is_allowed
from infra.local.gateway.refusals import Refusal
from infra.local.lambdas.pool import Throttled
from infra.local.lambdas.service import LambdaService

# If an authorizer raises this error, API Gateway returns 401. For all other errors it returns 500.
_UNAUTHORIZED = "Unauthorized"


async def authorize(call: Call, function_name: str, service: LambdaService) -> Event | Refusal:
    """Return the authorizer's context, or a refusal if it denies the request or fails."""
    try:
        invocation = await service.invoke(function_name, dump(authorizer_event(call)))
    except Throttled:
        return Refusal("AUTHORIZER_FAILURE")
    if invocation.error is not None:
        unauthorized = invocation.error.message == _UNAUTHORIZED
        return Refusal("UNAUTHORIZED" if unauthorized else "AUTHORIZER_FAILURE")
    try:
        return _decide(json.loads(invocation.payload), call.method_arn)
    except (ValueError, PolicyInvalid):
        return Refusal("AUTHORIZER_CONFIGURATION_ERROR")


def _decide(answer: Any, method_arn: str) -> Event | Refusal:
    if not isinstance(answer, dict):
        raise PolicyInvalid
    context = answer.get("context") or {}
    if not isinstance(context, dict) or not all(isinstance(value, str | int | float) for value in context.values()):
        raise PolicyInvalid
    authorizer: Event = {name: _text(value) for name, value in context.items()}
    if answer.get("principalId"):
        authorizer["principalId"] = str(answer["principalId"])
    if not is_allowed(answer.get("policyDocument"), method_arn):
        return Refusal("ACCESS_DENIED", authorizer)
    return authorizer


def _text(value: str | float) -> str:
    """Return a context value as a string. REST APIs pass all context values to functions as strings."""
    return str(value).lower() if isinstance(value, bool) else str(value)
