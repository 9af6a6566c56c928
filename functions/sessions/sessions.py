"""`/v1/sessions`: sessions and their messages."""

from typing import Annotated

from atrium.agent.store import AgentStore
from atrium.bootstrap import Runtime
from atrium.http.dependencies import BaseUrlDep, PageDep, RuntimeDep, TenantDep, require
from atrium.http.guarding import note_refusal
from atrium.http.idempotency import IdempotentRoute
from atrium.http.models import ListOf, id_pattern
from atrium.http.pages import list_scope, page_request, render_page
from atrium.http.responses import problem_responses
from atrium.http.turns import run_finalizer
from atrium.kernel.errors import NotFound
from atrium.kernel.ids import AgentId, is_id
from atrium.quotas.model import Rejected
from atrium.quotas.responses import limit_error, rate_limit_headers
from atrium.runs.store import RunStore
from atrium.sessions.service import SessionService
from atrium.sessions.store import SessionStore
from atrium.tenants.auditing import open_audit
from atrium.tenants.context import TenantContext
from fastapi import APIRouter, Path, Response

from functions.sessions.counting import SessionCounting
from functions.sessions.models import (
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


def _service(runtime: Runtime, tenant: TenantContext) -> SessionService:
    table, blobs = runtime.tenant_table(tenant.tenant_id), runtime.tenant_blobs(tenant.tenant_id)
    end_run = run_finalizer(runtime, tenant.tenant_id).close_expired
    return SessionService(tenant, SessionStore(table), RunStore(table, blobs), runtime.clock, end_run)


def _known_agent(runtime: Runtime, tenant: TenantContext, agent_id: str | None) -> AgentId | None:
    """Return the agent's id. Raises `NotFound` if the tenant does not have this agent."""
    if agent_id is None:
        return None
    store = AgentStore(runtime.tenant_table(tenant.tenant_id))
    agent = store.get(AgentId(agent_id)) if is_id(agent_id, "agt") else None
    if agent is None:
        raise NotFound("agent not found")
    return agent.id


@router.get("/v1/sessions", dependencies=_READ)
def list_sessions(tenant: TenantDep, runtime: RuntimeDep, page: PageDep) -> ListOf[SessionAnswer]:
    """List sessions.

    Returns your sessions, ordered by last activity, newest first. With the scope `admin`, returns all sessions of the
    tenant.
    """
    scope = list_scope(tenant, "sessions")
    found = _service(runtime, tenant).list(page_request(page, runtime.cursors, scope=scope))
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
    session, recorded = _service(runtime, tenant).create(
        counting.record,
        title=body.title,
        agent_id=counting.agent_id,
        metadata=body.metadata,
        end_user=body.end_user or "",
    )
    if isinstance(recorded, Rejected):
        error = limit_error(recorded, runtime.clock())
        note_refusal(open_audit(tenant, runtime.tenant_table(tenant.tenant_id), runtime.clock), error)
        raise error
    response.headers.update(rate_limit_headers(recorded, runtime.clock().timestamp()))
    response.headers["Location"] = f"{base_url}/v1/sessions/{session.id}"
    return render_session(session)


@router.get("/v1/sessions/{session_id}", dependencies=_READ, responses=problem_responses(404))
def get_session(session_id: SessionPath, tenant: TenantDep, runtime: RuntimeDep) -> SessionAnswer:
    """Get a session.

    Returns 404 for a session of another user, API key or OAuth client, unless the caller has the scope `admin`.
    """
    return render_session(_service(runtime, tenant).get(session_id))


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
    return render_session(_service(runtime, tenant).change(session_id, changes))


@router.delete("/v1/sessions/{session_id}", status_code=204, dependencies=_WRITE, responses=problem_responses(404))
def delete_session(session_id: SessionPath, tenant: TenantDep, runtime: RuntimeDep) -> None:
    """Delete a session.

    Also deletes the messages and runs of the session. Usage figures are not deleted.
    """
    _service(runtime, tenant).delete(session_id)


@router.get("/v1/sessions/{session_id}/messages", dependencies=_READ, responses=problem_responses(404))
def list_messages(
    session_id: SessionPath, tenant: TenantDep, runtime: RuntimeDep, page: PageDep
) -> ListOf[MessageAnswer]:
    """List a session's messages.

    Returns the oldest messages first. The size of a page is also limited in bytes, so a page can contain fewer than
    `limit` messages.
    """
    scope = list_scope(tenant, "messages", session_id=session_id)
    found = _service(runtime, tenant).list_messages(session_id, page_request(page, runtime.cursors, scope=scope))
    return render_page(found.map(render_message), runtime.cursors, scope=scope)
