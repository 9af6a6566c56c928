"""`/v1/sessions`: sessions and their messages."""

from typing import Annotated

from atrium.agent.store import AgentStore
from atrium.bootstrap import Runtime
from atrium.http.dependencies import BaseUrlDep, PageDep, RuntimeDep, TenantDep, require
from atrium.http.fields import EndUser
from atrium.http.guarding import note_refusal
from atrium.http.idempotency import IdempotentRoute
from atrium.http.models import ListOf, id_pattern, read_flag_text
from atrium.http.pages import list_scope, page_request, render_page
from atrium.http.responses import problem_responses
from atrium.http.turns import run_finalizer
from atrium.kernel.errors import NotFound
from atrium.kernel.ids import AgentId, is_id
from atrium.quotas.model import Recorded, Rejected
from atrium.quotas.responses import limit_error, rate_limit_headers
from atrium.runs.store import RunStore
from atrium.sessions.forking import SessionFork
from atrium.sessions.service import SessionService
from atrium.sessions.store import SessionStore
from atrium.tenants.auditing import open_audit
from atrium.tenants.context import TenantContext
from atrium.tenants.model import UNDELETE_DAYS_DEFAULT
from atrium.tenants.store import TenantStore
from fastapi import APIRouter, Path, Query, Response
from pydantic import BeforeValidator

from functions.sessions.counting import SessionCounting
from functions.sessions.models import (
    ForkBody,
    MessageAnswer,
    SessionAnswer,
    SessionBody,
    SessionPatch,
    render_message,
    render_session,
)

router = APIRouter(tags=["sessions"], route_class=IdempotentRoute)
SessionPath = Annotated[str, Path(pattern=id_pattern("ses"), description="Id of the session, `ses_…`")]
_READ, _WRITE = [require("sessions:read")], [require("sessions:write")]


def session_service(runtime: Runtime, tenant: TenantContext) -> SessionService:
    """Return the session operations for one caller."""
    table, blobs = runtime.tenant_table(tenant.tenant_id), runtime.tenant_blobs(tenant.tenant_id)
    end_run, audit = run_finalizer(runtime, tenant.tenant_id).close_expired, open_audit(tenant, table, runtime.clock)
    return SessionService(tenant, SessionStore(table), RunStore(table, blobs), runtime.clock, audit, end_run)


def _undelete_days(runtime: Runtime, tenant: TenantContext) -> int:
    stored = TenantStore(runtime.tenant_table(tenant.tenant_id)).get()
    return stored.undelete_days if stored else UNDELETE_DAYS_DEFAULT


def _known_agent(runtime: Runtime, tenant: TenantContext, agent_id: str | None) -> AgentId | None:
    """Return the agent's id. Raises `NotFound` if the tenant does not have this agent."""
    if agent_id is None:
        return None
    store = AgentStore(runtime.tenant_table(tenant.tenant_id))
    agent = store.get(AgentId(agent_id)) if is_id(agent_id, "agt") else None
    if agent is None:
        raise NotFound("agent not found")
    return agent.id


def _require_counted(recorded: Recorded | Rejected, runtime: Runtime, tenant: TenantContext) -> dict[str, str]:
    """Return the headers with the limits of a counted session. Raise and audit the error of a rejected one."""
    if isinstance(recorded, Rejected):
        error = limit_error(recorded, runtime.clock())
        note_refusal(open_audit(tenant, runtime.tenant_table(tenant.tenant_id), runtime.clock), error)
        raise error
    return rate_limit_headers(recorded, runtime.clock().timestamp())


@router.get("/v1/sessions", dependencies=_READ)
def list_sessions(
    tenant: TenantDep,
    runtime: RuntimeDep,
    page: PageDep,
    user_id: Annotated[
        str | None,
        Query(
            pattern=id_pattern("usr"),
            description="Return only sessions of this user. Other users' sessions require `admin`. Default: all",
        ),
    ] = None,
    end_user: Annotated[
        EndUser | None, Query(min_length=1, description="Return only sessions with this `end_user`. Default: all")
    ] = None,
    agent_id: Annotated[
        str | None, Query(pattern=id_pattern("agt"), description="Return only sessions with this agent. Default: all")
    ] = None,
) -> ListOf[SessionAnswer]:
    """List sessions.

    Returns your sessions, ordered by last activity, newest first. With the scope `admin`, returns all sessions of the
    tenant. With filters, a page may have fewer than `limit` sessions, or none, and still be followed by another page.
    """
    wanted = {name: value for name, value in (("end_user", end_user), ("agent_id", agent_id)) if value is not None}
    scope = list_scope(tenant, "sessions", user_id=user_id, **wanted)
    request = page_request(page, runtime.cursors, scope=scope)
    found = session_service(runtime, tenant).list(request, user_id=user_id, **wanted)
    return render_page(found.map(render_session), runtime.cursors, scope=scope)


@router.post("/v1/sessions", status_code=201, dependencies=_WRITE, responses=problem_responses(404, 429))
def create_session(
    body: SessionBody, tenant: TenantDep, runtime: RuntimeDep, base_url: BaseUrlDep, response: Response
) -> SessionAnswer:
    """Create a session.

    The new session is empty. It counts against the limit `sessions_per_day`. If the limit is reached, the call returns
    429 and is not counted.
    """
    counting = SessionCounting.read(runtime, tenant, body.agent_id)
    session, recorded = session_service(runtime, tenant).create(
        counting.record,
        title=body.title,
        agent_id=counting.agent_id,
        metadata=body.metadata,
        end_user=body.end_user or "",
    )
    response.headers.update(_require_counted(recorded, runtime, tenant))
    response.headers["Location"] = f"{base_url}/v1/sessions/{session.id}"
    return render_session(session)


@router.post(
    "/v1/sessions/{session_id}/fork", status_code=201, dependencies=_WRITE, responses=problem_responses(404, 409, 429)
)
def fork_session(
    session_id: SessionPath,
    body: ForkBody,
    tenant: TenantDep,
    runtime: RuntimeDep,
    base_url: BaseUrlDep,
    response: Response,
) -> SessionAnswer:
    """Fork a session.

    Copies the history, up to and including a message, into a new session that you own. If the message has tool calls,
    their results are also copied. A running turn is not copied. Counts against `sessions_per_day`, like a new session.
    """
    service = session_service(runtime, tenant)
    source = service.get(session_id)
    counting = SessionCounting.read(runtime, tenant, source.agent_id)
    if rejected := counting.rejection():
        _require_counted(rejected, runtime, tenant)
    session, recorded = SessionFork(service).create(
        source, counting.record, message_id=body.message_id, title=body.title
    )
    response.headers.update(_require_counted(recorded, runtime, tenant))
    response.headers["Location"] = f"{base_url}/v1/sessions/{session.id}"
    return render_session(session)


@router.get("/v1/sessions/{session_id}", dependencies=_READ, responses=problem_responses(404))
def get_session(session_id: SessionPath, tenant: TenantDep, runtime: RuntimeDep) -> SessionAnswer:
    """Get a session.

    Returns 404 for a session of another user, API key or OAuth client, unless the caller has the scope `admin`.
    """
    return render_session(session_service(runtime, tenant).get(session_id))


@router.patch("/v1/sessions/{session_id}", dependencies=_WRITE, responses=problem_responses(404))
def update_session(
    session_id: SessionPath, body: SessionPatch, tenant: TenantDep, runtime: RuntimeDep
) -> SessionAnswer:
    """Update a session.

    Changes the title, agent or metadata. Absent fields are not changed. Null removes a value.
    """
    changes = {name: getattr(body, name) for name in body.model_fields_set}
    if "agent_id" in changes:
        changes["agent_id"] = _known_agent(runtime, tenant, body.agent_id)
    return render_session(session_service(runtime, tenant).change(session_id, changes))


@router.delete("/v1/sessions/{session_id}", status_code=204, dependencies=_WRITE, responses=problem_responses(404))
def delete_session(
    session_id: SessionPath,
    tenant: TenantDep,
    runtime: RuntimeDep,
    permanent: Annotated[
        bool,
        Query(description="Remove the session at once, also if it was deleted before. Default false"),
        BeforeValidator(read_flag_text),
    ] = False,
) -> None:
    """Delete a session.

    The session, its messages and its runs return 404 from then on, and its running turn is cancelled. The session can
    be restored for `undelete_days` days (a setting of the tenant), and is then removed. Usage figures are not removed.
    """
    undelete_days = 0 if permanent else _undelete_days(runtime, tenant)
    session_service(runtime, tenant).delete(session_id, undelete_days=undelete_days)


@router.post("/v1/sessions/{session_id}/restore", dependencies=_WRITE, responses=problem_responses(404, 409))
def restore_session(session_id: SessionPath, tenant: TenantDep, runtime: RuntimeDep) -> SessionAnswer:
    """Restore a session.

    Undoes the deletion of a session, with its messages and runs. Returns 409 if the session is not deleted, and 404 if
    it was deleted permanently or longer than `undelete_days` days ago.
    """
    return render_session(session_service(runtime, tenant).restore(session_id))


@router.get("/v1/sessions/{session_id}/messages", dependencies=_READ, responses=problem_responses(404))
def list_messages(
    session_id: SessionPath, tenant: TenantDep, runtime: RuntimeDep, page: PageDep
) -> ListOf[MessageAnswer]:
    """List a session's messages.

    Returns the oldest messages first. The size of a page is also limited in bytes, so a page can contain fewer than
    `limit` messages.
    """
    scope = list_scope(tenant, "messages", session_id=session_id)
    found = session_service(runtime, tenant).list_messages(session_id, page_request(page, runtime.cursors, scope=scope))
    return render_page(found.map(render_message), runtime.cursors, scope=scope)
