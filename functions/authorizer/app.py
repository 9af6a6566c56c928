"""The REQUEST authorizer of all routes that require a credential.

The function returns a policy (allow or deny, with a context) or raises an exception. API Gateway returns 401 for the
exception text `Unauthorized`, and 503 for any other exception. A request whose credential cannot be checked is never
allowed.
"""

from collections.abc import Mapping
from functools import cache, cached_property
from typing import Any

from atrium.bootstrap import Runtime, quiet_libraries
from atrium.http import logs
from atrium.kernel.errors import AtriumError, Unauthenticated
from atrium.settings import Settings
from atrium.storage.clients import open_short_timeout_table
from atrium.storage.table import PhysicalTable

from functions.authorizer.auth_failures import log_refusal
from functions.authorizer.authorize import Authorizer
from functions.authorizer.credential import read_credential
from functions.authorizer.verdict import PolicyAnswer


class AuthorizerFailed(Exception):
    """Raised if a credential could not be checked. The reason is only logged."""


def handler(event: Mapping[str, Any], context: object) -> PolicyAnswer:
    """Return the policy for an event of API Gateway (Lambda entry point)."""
    del context
    return answer(event, _authorizer())


def answer(event: Mapping[str, Any], authorizer: Authorizer) -> PolicyAnswer:
    """Return the policy for a request.

    Raises an exception with the text `Unauthorized` if the response must be 401, or `AuthorizerFailed` if the
    credential cannot be checked.
    """
    logs.unbind()
    logs.bind(request_id=str((event.get("requestContext") or {}).get("requestId", "")))
    try:
        return authorizer.judge(read_credential(event)).render(event["methodArn"])
    except Unauthenticated as error:
        if error.internal:
            log_refusal(error.code, error.internal)
        raise Exception("Unauthorized") from None  # noqa: TRY002 - API Gateway returns 401 only for this text
    except AtriumError as error:
        logs.logger().error("cannot decide", code=error.code, internal=error.internal)
        raise AuthorizerFailed(error.code) from None
    except Exception as error:  # noqa: BLE001 - the Lambda's edge: any failure denies access
        logs.logger().error("cannot decide", exception_name=type(error).__name__)
        raise AuthorizerFailed(type(error).__name__) from None


class AuthorizerRuntime(Runtime):
    """A runtime whose table client has short timeouts, because this function must return within five seconds."""

    @cached_property
    def table(self) -> PhysicalTable:
        return open_short_timeout_table(self.settings.table_name)


@cache
def _authorizer() -> Authorizer:
    quiet_libraries()
    return Authorizer(AuthorizerRuntime(Settings.read()))
