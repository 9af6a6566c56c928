"""The REQUEST authorizer of all routes that need a credential.

It returns a policy (allow or deny, with a context) or raises: `Unauthorized`, which API Gateway turns into 401, or any
other error, which a gateway response turns into 503. It never allows a request that it could not check.
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
    """The credential could not be checked; the reason is only in the log."""


def handler(event: Mapping[str, Any], context: object) -> PolicyAnswer:
    """Answer API Gateway's event."""
    del context
    return answer(event, _authorizer())


def answer(event: Mapping[str, Any], authorizer: Authorizer) -> PolicyAnswer:
    """Return the policy for a request. API Gateway reads only the text of the exception."""
    logs.unbind()
    logs.bind(request_id=str((event.get("requestContext") or {}).get("requestId", "")))
    try:
        return authorizer.judge(read_credential(event)).render(event["methodArn"])
    except Unauthenticated as error:
        if error.internal:
            log_refusal(error.code, error.internal)
        raise Exception("Unauthorized") from None  # noqa: TRY002 - the one text that API Gateway knows
    except AtriumError as error:
        logs.logger().error("cannot decide", code=error.code, internal=error.internal)
        raise AuthorizerFailed(error.code) from None
    except Exception as error:  # noqa: BLE001 - the Lambda's edge: any failure denies access
        logs.logger().error("cannot decide", exception_name=type(error).__name__)
        raise AuthorizerFailed(type(error).__name__) from None


class AuthorizerRuntime(Runtime):
    """A Runtime whose table client has short timeouts, because this function must answer within five seconds."""

    @cached_property
    def table(self) -> PhysicalTable:
        return open_short_timeout_table(self.settings.table_name)


@cache
def _authorizer() -> Authorizer:
    quiet_libraries()
    return Authorizer(AuthorizerRuntime(Settings.read()))
