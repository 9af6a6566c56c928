"""`/v1/users`: a tenant's users. `/unlock` is with the identity function, which keeps the throttles of its doors."""

from typing import Annotated

from atrium.bootstrap import Runtime
from atrium.http.dependencies import BaseUrlDep, PageDep, RuntimeDep, TenantDep, require
from atrium.http.idempotency import IdempotentRoute, answers_secret
from atrium.http.models import ListOf, id_pattern, read_flag_text
from atrium.http.pages import list_scope, page_request, render_page
from atrium.http.responses import problem_responses
from atrium.identity.login.throttles import Throttles
from atrium.identity.users.model import EMAIL_MAX
from atrium.identity.users.service import UserService
from atrium.identity.users.store import UserStore
from atrium.identity.users.traces import erase_traces
from atrium.kernel.errors import NotFound, invalid_field
from atrium.kernel.ids import UserId
from atrium.quotas.limits import resolve_limits
from atrium.tenants.auditing import open_audit
from atrium.tenants.context import TenantContext
from atrium.tenants.store import TenantStore
from fastapi import APIRouter, Path, Query, Response
from pydantic import BeforeValidator

from functions.admin.counting import limits_changed
from functions.admin.user_models import (
    ChangedUser,
    CreatedUser,
    ResetUser,
    UserAnswer,
    UserBody,
    UserPatch,
    read_fields,
    render_changed,
    render_created,
    render_reset,
    render_user,
)

router = APIRouter(tags=["users"], route_class=IdempotentRoute, dependencies=[require("admin")])
UserPath = Annotated[str, Path(pattern=id_pattern("usr"), description="Id of the user, `usr_…`")]
EmailQuery = Annotated[
    str | None, Query(max_length=EMAIL_MAX, description="Only the user with this email address. Default: all")
]
RevokeKeys = Annotated[
    bool,
    Query(
        description="Also end the API keys and OAuth clients the user created, and those these created. Default false"
    ),
    BeforeValidator(read_flag_text),
]


def _service(runtime: Runtime, tenant: TenantContext) -> UserService:
    table = runtime.tenant_table(tenant.tenant_id)
    return UserService(
        UserStore(table),
        open_audit(tenant, table, runtime.clock),
        runtime.settings.environment,
        runtime.secrets.peppers("one_time_token").current,
        runtime.clock,
    )


def _users_max(runtime: Runtime, tenant: TenantContext) -> int:
    """Return how many users the tenant may have, as it stands now."""
    found = TenantStore(runtime.tenant_table(tenant.tenant_id)).get()
    if found is None:
        raise NotFound("tenant not found")
    return found.limits.get("users", resolve_limits(found.plan, {})["users"])


@router.get("/v1/users")
def list_users(tenant: TenantDep, runtime: RuntimeDep, page: PageDep, email: EmailQuery = None) -> ListOf[UserAnswer]:
    """List users.

    All users of the tenant, oldest first.
    """
    scope = list_scope(tenant, "users", email=email)
    found = _service(runtime, tenant).list(page_request(page, runtime.cursors, scope=scope), email=email)
    return render_page(found.map(render_user), runtime.cursors, scope=scope)


@router.post("/v1/users", status_code=201, responses=problem_responses(403, 409))
@answers_secret
def create_user(
    body: UserBody, tenant: TenantDep, runtime: RuntimeDep, base_url: BaseUrlDep, response: Response
) -> CreatedUser:
    """Create a user.

    With a password the user is active; without one they are invited, and the answer has a one-time `invite_token`
    that works for seven days. The address must be new in the tenant (409), and the plan must have room for another
    user (403 `QUOTA_EXCEEDED`).
    """
    made = _service(runtime, tenant).create(read_fields(body), maximum=_users_max(runtime, tenant))
    response.headers["Location"] = f"{base_url}/v1/users/{made.user.id}"
    return render_created(made)


@router.get("/v1/users/{user_id}")
def get_user(user_id: UserPath, tenant: TenantDep, runtime: RuntimeDep) -> UserAnswer:
    """Get a user.

    An id that does not exist in the tenant is 404.
    """
    return render_user(_service(runtime, tenant).get(user_id))


@router.patch("/v1/users/{user_id}", responses=problem_responses(409))
def update_user(
    user_id: UserPath, body: UserPatch, tenant: TenantDep, runtime: RuntimeDep, revoke_keys: RevokeKeys = False
) -> ChangedUser | UserAnswer:
    """Update a user.

    Fields that are absent stay. The change applies within 30 seconds. The tenant keeps an active admin (409). A
    suspension, or a role other than `admin`, answers with the credentials that the user created.
    """
    service, fields = _service(runtime, tenant), read_fields(body)
    takes_away = fields.get("status") == "suspended" or fields.get("role", "admin") != "admin"
    if revoke_keys and not takes_away:
        raise invalid_field("revoke_keys", "goes with `status` suspended, or a `role` other than admin", place="query")
    before = service.get(user_id)
    changed = service.change(user_id, fields)
    limits_changed(runtime, tenant, before.id, before.limits, changed.limits)
    if not takes_away:
        return render_user(changed)
    return render_changed(changed, service.offboard(changed.id, revoke_keys=revoke_keys))


@router.delete("/v1/users/{user_id}", status_code=204, responses=problem_responses(409))
def delete_user(
    user_id: UserPath, tenant: TenantDep, runtime: RuntimeDep, response: Response, revoke_keys: RevokeKeys = False
) -> None:
    """Delete a user.

    Their logins end within 30 seconds. Keys and clients they created stay, unless `revoke_keys` is true; the header
    `x-remaining-credentials` counts those that still work. The last active admin cannot be deleted (409).
    """
    service, table = _service(runtime, tenant), runtime.tenant_table(tenant.tenant_id)
    throttles = Throttles(runtime.platform_table, runtime.clock)
    try:
        email = service.get(user_id).email
    except NotFound:
        erase_traces(table, throttles, UserId(user_id))  # of an interrupted call
        raise
    left = service.delete(user_id, revoke_keys=revoke_keys)
    erase_traces(table, throttles, UserId(user_id), email)
    response.headers["x-remaining-credentials"] = str(len(left.remaining))


@router.post("/v1/users/{user_id}/logout", status_code=204)
def log_out_user(user_id: UserPath, tenant: TenantDep, runtime: RuntimeDep) -> None:
    """Log out a user.

    Ends all logins of the user within 30 seconds.
    """
    _service(runtime, tenant).log_out(user_id)


@router.post("/v1/users/{user_id}/reset")
@answers_secret
def reset_user(user_id: UserPath, tenant: TenantDep, runtime: RuntimeDep) -> ResetUser:
    """Reset a user's password.

    Ends the user's logins and answers with a one-time token that sets a new password within an hour. An invited user
    gets a new invitation, which works for seven days.
    """
    return render_reset(_service(runtime, tenant).reset(user_id))
