"""The Lambda proxy integration: a function receives the whole request and returns the whole response."""

import asyncio
import base64
import binascii
import json
from typing import Any

from infra.local.gateway.api import FunctionIntegration
from infra.local.gateway.events import Call, Event, dump, proxy_event
from infra.local.gateway.headers import answer_headers
from infra.local.gateway.refusals import Answer, Refusal
from infra.local.lambdas.pool import Throttled
from infra.local.lambdas.service import LambdaService, UnknownFunction

EVENT_BYTES_MAX = 6 * 1024 * 1024
_FIELDS = frozenset({"statusCode", "headers", "multiValueHeaders", "body", "isBase64Encoded", "cookies"})
# Returned if a function fails or returns an invalid response.
BAD_GATEWAY = Refusal("DEFAULT_5XX", status=502)
# API Gateway's response if a function has reached its concurrency limit.
THROTTLED_FUNCTION = Refusal("API_CONFIGURATION_ERROR")


class _AnswerInvalid(Exception):
    """Raised if the function returned an invalid HTTP response."""


async def integrate(
    call: Call, integration: FunctionIntegration, authorizer: Event | None, service: LambdaService
) -> Answer | Refusal:
    """Invoke the function and return its response, or a refusal if it fails.

    A response that arrives after the timeout is discarded.
    """
    event = dump(proxy_event(call, authorizer))
    if len(event) > EVENT_BYTES_MAX:
        return Refusal("REQUEST_TOO_LARGE", authorizer)
    work = asyncio.ensure_future(service.invoke(integration.function_name, event))
    done, _ = await asyncio.wait({work}, timeout=integration.timeout_seconds)
    if not done:
        work.add_done_callback(lambda late: late.cancelled() or late.exception())
        return Refusal("INTEGRATION_TIMEOUT", authorizer)
    try:
        invocation = work.result()
        if invocation.error is None:
            return _read_answer(json.loads(invocation.payload), call)
    except Throttled:
        return THROTTLED_FUNCTION
    except (UnknownFunction, ValueError, _AnswerInvalid):
        pass  # API Gateway returns 502 for an unknown function and for an invalid response
    return BAD_GATEWAY


def _read_answer(answer: Any, call: Call) -> Answer:
    if not isinstance(answer, dict) or not _FIELDS.issuperset(answer) or "statusCode" not in answer:
        raise _AnswerInvalid
    several: dict[str, Any] = answer.get("multiValueHeaders") or {}
    once = {name: value for name, value in (answer.get("headers") or {}).items() if not _holds(several, name)}
    headers = [(str(name), _text(value)) for name, value in once.items()]
    headers += [(str(name), _text(value)) for name, values in several.items() for value in values]
    if not any(name.lower() == "content-type" for name, _ in headers):
        headers.append(("content-type", "application/json"))
    request = call.request
    sent = [pair for pair in headers if pair[0].lower() != "content-length"]
    return Answer(
        status=int(answer["statusCode"]),
        headers=tuple(answer_headers(sent, request.request_id, request.trace_id)),
        body=_read_body(answer, call),
    )


def _read_body(answer: dict[str, Any], call: Call) -> bytes:
    """Return the body's bytes. Base64 is decoded if the first type in `Accept` is a binary type of the API."""
    body = answer.get("body")
    if body is None:
        return b""
    if not isinstance(body, str):
        raise _AnswerInvalid
    wanted = call.request.header("accept").partition(",")[0].partition(";")[0].strip().lower()
    if answer.get("isBase64Encoded") and any(kind in {"*/*", wanted} for kind in call.api.binary_types):
        try:
            return base64.b64decode(body, validate=True)
        except binascii.Error as error:
            raise _AnswerInvalid from error
    return body.encode()


def _holds(headers: dict[str, Any], name: str) -> bool:
    return name.lower() in {other.lower() for other in headers}


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
