"""`POST /v1/users/{user_id}/unlock`, served by the identity function, which owns the login throttles."""

from typing import Annotated

from atrium.http.dependencies import RuntimeDep, TenantDep, require
from atrium.http.idempotency import IdempotentRoute
from atrium.http.models import id_pattern
from atrium.identity.login.throttles import Throttles
from atrium.identity.users.model import same_address
from atrium.identity.users.store import UserStore
from atrium.kernel.errors import NotFound
from atrium.kernel.ids import UserId
from atrium.tenants.auditing import open_audit
from fastapi import APIRouter, Path

router = APIRouter(tags=["users"], route_class=IdempotentRoute, dependencies=[require("admin")])
UserPath = Annotated[str, Path(pattern=id_pattern("usr"), description="Id of the user, `usr_…`")]


@router.post("/v1/users/{user_id}/unlock", status_code=204)
def unlock_user(user_id: UserPath, tenant: TenantDep, runtime: RuntimeDep) -> None:
    """Unlock a user.

    Resets the failed logins of the user's email address, so that the next login is not delayed. An email address can be
    unlocked five times a day.
    """
    table = runtime.tenant_table(tenant.tenant_id)
    user = UserStore(table).get(UserId(user_id))
    if user is None:
        raise NotFound("user not found")
    Throttles(runtime.platform_table, runtime.clock).unlock(same_address(user.email), tenant.tenant_id)
    details = {"action": "user.unlock", "resource": user.id}
    open_audit(tenant, table, runtime.clock).record("admin.change", details)
