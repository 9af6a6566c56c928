"""`/v1/users`: a tenant's users. `/unlock` is served by the identity function, which owns the login throttles."""

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
    str | None,
    Query(max_length=EMAIL_MAX, description="Return only the user with this email address. Default: all users"),
]
RevokeKeys = Annotated[
    bool,
    Query(
        description=(
            "Also revoke the API keys and OAuth clients that the user created directly or indirectly. Default false"
        )
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
    """Return the maximum number of users in the tenant, from the table. Raises `NotFound` if there is no tenant."""
    found = TenantStore(runtime.tenant_table(tenant.tenant_id)).get()
    if found is None:
        raise NotFound("tenant not found")
    return found.limits.get("users", resolve_limits(found.plan, {})["users"])


@router.get("/v1/users")
def list_users(tenant: TenantDep, runtime: RuntimeDep, page: PageDep, email: EmailQuery = None) -> ListOf[UserAnswer]:
    """List users.

    Returns all users of the tenant, oldest first.
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

    With a password, the user is active. Without a password, the user is invited, and the response contains a one-time
    `invite_token` that is valid for seven days. Returns 409 if another user of the tenant has this email address, and
    403 `QUOTA_EXCEEDED` if the tenant has the maximum number of users.
    """
    made = _service(runtime, tenant).create(read_fields(body), maximum=_users_max(runtime, tenant))
    response.headers["Location"] = f"{base_url}/v1/users/{made.user.id}"
    return render_created(made)


@router.get("/v1/users/{user_id}")
def get_user(user_id: UserPath, tenant: TenantDep, runtime: RuntimeDep) -> UserAnswer:
    """Get a user.

    Returns 404 if the id does not exist in the tenant.
    """
    return render_user(_service(runtime, tenant).get(user_id))


@router.patch("/v1/users/{user_id}", responses=problem_responses(409))
def update_user(
    user_id: UserPath, body: UserPatch, tenant: TenantDep, runtime: RuntimeDep, revoke_keys: RevokeKeys = False
) -> ChangedUser | UserAnswer:
    """Update a user.

    Absent fields are not changed. The change applies within 30 seconds. Returns 409 if the tenant would have no active
    admin. If the user is suspended or is given a role other than `admin`, the response lists the credentials that the
    user created.
    """
    service, fields = _service(runtime, tenant), read_fields(body)
    takes_away = fields.get("status") == "suspended" or fields.get("role", "admin") != "admin"
    if revoke_keys and not takes_away:
        raise invalid_field(
            "revoke_keys", "requires `status` `suspended` or a `role` other than `admin`", place="query"
        )
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

    The user's logins end within 30 seconds. API keys and OAuth clients that the user created remain valid, unless
    `revoke_keys` is true. The header `x-remaining-credentials` is the number of credentials that are still valid.
    Returns 409 for the last active admin.
    """
    service, table = _service(runtime, tenant), runtime.tenant_table(tenant.tenant_id)
    throttles = Throttles(runtime.platform_table, runtime.clock)
    try:
        email = service.get(user_id).email
    except NotFound:
        erase_traces(table, throttles, UserId(user_id))  # traces of an interrupted deletion
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

    Ends the user's logins and returns a one-time token for setting a new password. The token is valid for one hour. For
    an invited user, the token is a new invitation, which is valid for seven days.
    """
    return render_reset(_service(runtime, tenant).reset(user_id))
