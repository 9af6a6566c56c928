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
UserPath = Annotated[str, Path(pattern=id_pattern("usr"))]
EmailQuery = Annotated[str | None, Query(max_length=EMAIL_MAX, description="Only the user of this address")]
RevokeKeys = Annotated[
    bool,
    Query(description="Also end the API keys and OAuth clients that the user made, and those that these made"),
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
    """List the tenant's users, oldest first."""
    scope = list_scope(tenant, "users", email=email)
    found = _service(runtime, tenant).list(page_request(page, runtime.cursors, scope=scope), email=email)
    return render_page(found.map(render_user), runtime.cursors, scope=scope)


@router.post("/v1/users", status_code=201, responses=problem_responses(403, 409))
@answers_secret
def create_user(
    body: UserBody, tenant: TenantDep, runtime: RuntimeDep, base_url: BaseUrlDep, response: Response
) -> CreatedUser:
    """Create a user, with a password or an invitation that is good for seven days."""
    made = _service(runtime, tenant).create(read_fields(body), maximum=_users_max(runtime, tenant))
    response.headers["Location"] = f"{base_url}/v1/users/{made.user.id}"
    return render_created(made)


@router.get("/v1/users/{user_id}")
def get_user(user_id: UserPath, tenant: TenantDep, runtime: RuntimeDep) -> UserAnswer:
    """Return a user."""
    return render_user(_service(runtime, tenant).get(user_id))


@router.patch("/v1/users/{user_id}", responses=problem_responses(409))
def update_user(
    user_id: UserPath, body: UserPatch, tenant: TenantDep, runtime: RuntimeDep, revoke_keys: RevokeKeys = False
) -> ChangedUser | UserAnswer:
    """Change any part of a user; effective within 30 seconds. The tenant keeps an active admin.

    A suspension or a role other than `admin` can end the credentials that the user made; the answer lists them.
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
    """Delete a user, whose logins end within 30 seconds. The credentials that they made go on, unless told otherwise.

    `x-remaining-credentials` says how many API keys and OAuth clients that descend from the user still work.
    """
    service, table = _service(runtime, tenant), runtime.tenant_table(tenant.tenant_id)
    throttles = Throttles(runtime.platform_table, runtime.clock)
    try:
        email = service.get(user_id).email
    except NotFound:
        erase_traces(table, throttles, UserId(user_id))  # of a call that broke off
        raise
    left = service.delete(user_id, revoke_keys=revoke_keys)
    erase_traces(table, throttles, UserId(user_id), email)
    response.headers["x-remaining-credentials"] = str(len(left.remaining))


@router.post("/v1/users/{user_id}/logout", status_code=204)
def log_out_user(user_id: UserPath, tenant: TenantDep, runtime: RuntimeDep) -> None:
    """End all logins of a user within 30 seconds."""
    _service(runtime, tenant).log_out(user_id)


@router.post("/v1/users/{user_id}/reset")
@answers_secret
def reset_user(user_id: UserPath, tenant: TenantDep, runtime: RuntimeDep) -> ResetUser:
    """Give a token by which the user sets a new password, once within an hour, and end his logins.

    For a user who was invited and has not come it is a new invitation, good for seven days.
    """
    return render_reset(_service(runtime, tenant).reset(user_id))
