"""Verifies the email address and password of the consent page, with the same throttles as `POST /v1/auth/login`."""

from atrium.identity.login.candidates import Candidates
from atrium.identity.login.service import LoginService
from atrium.identity.login.throttles import Throttles
from atrium.identity.users.model import User
from atrium.kernel.errors import RateLimited, TenantInactive, Unauthenticated, UserSuspended
from atrium.tenants.model import Tenant

from functions.identity.login import report_refusal
from functions.identity.oauth_services import OAuthServer

WRONG = "Email or password is wrong."
SUSPENDED = "Your access is suspended. Ask an administrator of your tenant."
TOO_MANY = "There were too many login attempts. Please wait, then try again."
_EMAIL_MAX = 255
_PASSWORD_MAX = 1_024


def verify_login(server: OAuthServer, tenant: Tenant, email: str, password: str) -> User | str:
    """Return the user, or the error message to show on the page."""
    if not 0 < len(email) <= _EMAIL_MAX or not 0 < len(password) <= _PASSWORD_MAX:
        return WRONG
    runtime = server.runtime
    candidates = Candidates(runtime.table, runtime.platform_table, runtime.tenant_table)
    throttles = Throttles(runtime.platform_table, runtime.clock)
    service = LoginService(candidates, throttles, server.families, runtime.clock, report_refusal)
    try:
        return service.authenticate(email, password, tenant, server.origin)
    except RateLimited:
        return TOO_MANY
    except (UserSuspended, TenantInactive):
        return SUSPENDED
    except Unauthenticated:
        return WRONG
