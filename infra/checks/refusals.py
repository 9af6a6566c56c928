"""Checks the error responses of API Gateway, which must be problem+json with a code from the error catalogue.

Gateway responses support only `$context` variables, not VTL. The body must be valid JSON even before the variables are
replaced.
"""

import json
from collections.abc import Iterator

from atrium.kernel.errors import AtriumError, catalogue

from infra.runtime.template import Document, Resolver

TYPES = frozenset(
    {
        "ACCESS_DENIED", "API_CONFIGURATION_ERROR", "AUTHORIZER_CONFIGURATION_ERROR", "AUTHORIZER_FAILURE",
        "BAD_REQUEST_BODY", "BAD_REQUEST_PARAMETERS", "DEFAULT_4XX", "DEFAULT_5XX", "EXPIRED_TOKEN",
        "INTEGRATION_FAILURE", "INTEGRATION_TIMEOUT", "INVALID_API_KEY", "INVALID_SIGNATURE",
        "MISSING_AUTHENTICATION_TOKEN", "QUOTA_EXCEEDED", "REQUEST_TOO_LARGE", "RESOURCE_NOT_FOUND", "THROTTLED",
        "UNAUTHORIZED", "UNSUPPORTED_MEDIA_TYPE", "WAF_FILTERED",
    }
)  # fmt: skip
HEADERS = {
    "Content-Type": "'application/problem+json'",
    "X-Request-Id": "context.requestId",
    "Access-Control-Expose-Headers": (
        "'x-request-id,location,retry-after,ratelimit,ratelimit-policy,idempotency-replayed'"
    ),
}
EXTRA = {"UNAUTHORIZED": {"WWW-Authenticate": "'Bearer'"}} | {
    name: {"Retry-After": "'1'"} for name in ("AUTHORIZER_FAILURE", "AUTHORIZER_CONFIGURATION_ERROR", "THROTTLED")
}
SITE = "https://atrium.example"
# The authorizer returns the error code and the detail in its context.
DENIED = "$context.authorizer.code"


def check_refusals(template: Document) -> Iterator[str]:
    """Check that the template defines every type of gateway response, with the headers and body of an API error."""
    api = template["Resources"].get("Api", {}).get("Properties", {})
    defined = Resolver(template, {"PublicUrl": SITE}).resolve(api.get("GatewayResponses", {}))
    yield from (f"{name} has no gateway response" for name in sorted(TYPES - defined.keys()))
    yield from (f"{name} is no gateway response that AWS knows" for name in sorted(defined.keys() - TYPES))
    for name in sorted(TYPES & defined.keys()):
        yield from (f"{name}: {text}" for text in _faults(name, defined[name]))


def _faults(name: str, response: Document) -> Iterator[str]:
    headers = response.get("ResponseParameters", {}).get("Headers", {})
    for header, value in {**HEADERS, **EXTRA.get(name, {})}.items():
        if headers.get(header) != value:
            yield f"header {header} must be {value}"
    if not headers.get("Access-Control-Allow-Origin"):
        yield "header Access-Control-Allow-Origin is missing"
    try:
        body = json.loads(response["ResponseTemplates"]["application/json"])
    except (KeyError, ValueError):
        yield "the body template for application/json is not JSON"
        return
    yield from _body_faults(body, str(response.get("StatusCode")))


def _body_faults(body: Document, status: str) -> Iterator[str]:
    code = body.get("code")
    kinds = [kind for kind in catalogue() if kind.code == code and str(kind.status) == status]
    if code == DENIED and status == "403":
        kinds = [kind for kind in catalogue() if kind.code == "FORBIDDEN"]
    if not kinds:
        yield f"{code} with status {status} is not in the catalogue of errors"
        return
    for member, expected in _expected(kinds[0], str(code)).items():
        if body.get(member) != expected:
            yield f"{member} must be {expected!r}, as in the catalogue of errors"
    wanted = {"UNAUTHENTICATED": kinds[0].default_detail(), DENIED: "$context.authorizer.detail"}.get(str(code))
    if not body.get("detail"):
        yield "detail is missing"
    elif wanted and body["detail"] != wanted:
        yield f"detail must be {wanted!r}"


def _expected(kind: type[AtriumError], code: str) -> dict[str, object]:
    return {
        "type": f"{SITE}/docs/errors/{code}",
        "title": kind.title,
        "status": kind.status,
        "request_id": "$context.requestId",
        "retryable": kind.retryable,
    }
