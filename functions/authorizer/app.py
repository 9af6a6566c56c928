"""The REQUEST authorizer of every route that is not public.

It has three answers and two ways to fail: allow or deny with a context; `Unauthorized`, which API Gateway turns into
a 401; and any other failure, which a gateway response turns into a 503. It never opens because it could not look.
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

from functions.authorizer.auth_failures import tell_nobody
from functions.authorizer.authorize import Authorizer
from functions.authorizer.credential import read_credential
from functions.authorizer.verdict import PolicyAnswer


class AuthorizerFailed(Exception):
    """The credential could not be looked at; what exactly failed is in the log alone."""


def handler(event: Mapping[str, Any], context: object) -> PolicyAnswer:
    """Answer API Gateway."""
    del context
    return answer(event, _authorizer())


def answer(event: Mapping[str, Any], authorizer: Authorizer) -> PolicyAnswer:
    """Return the policy for a request; the text of what is raised is all that API Gateway looks at."""
    logs.unbind()
    logs.bind(request_id=str((event.get("requestContext") or {}).get("requestId", "")))
    try:
        return authorizer.judge(read_credential(event)).render(event["methodArn"])
    except Unauthenticated as error:
        if error.internal:
            tell_nobody(error.code, error.internal)
        raise Exception("Unauthorized") from None  # noqa: TRY002 - the one text that API Gateway knows
    except AtriumError as error:
        logs.logger().error("cannot decide", code=error.code, internal=error.internal)
        raise AuthorizerFailed(error.code) from None
    except Exception as error:  # noqa: BLE001 - the edge: whatever it is, the door stays shut
        logs.logger().error("cannot decide", exception_name=type(error).__name__)
        raise AuthorizerFailed(type(error).__name__) from None


class AuthorizerRuntime(Runtime):
    """A Runtime whose table is given up in time: this function has five seconds, and others have half a minute."""

    @cached_property
    def table(self) -> PhysicalTable:
        return open_short_timeout_table(self.settings.table_name)


@cache
def _authorizer() -> Authorizer:
    quiet_libraries()
    return Authorizer(AuthorizerRuntime(Settings.read()))
