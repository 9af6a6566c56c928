"""`GET /v1/audit`: what happened in the tenant, as pages or as a file."""

from typing import Annotated, Any, Literal

from atrium.audit.export import export_piece
from atrium.audit.model import AuditEvent
from atrium.audit.query import make_query
from atrium.audit.service import render_event
from atrium.bootstrap import Runtime
from atrium.http.dependencies import BaseUrlDep, PageDep, RuntimeDep, TenantDep, require
from atrium.http.models import ListOf, StrictModel, Timestamp
from atrium.http.pages import list_scope, page_request, render_page
from atrium.kernel.pagination import Position
from atrium.tenants.auditing import open_audit
from fastapi import APIRouter, Query, Request, Response
from starlette.datastructures import URL

router = APIRouter(tags=["audit"], dependencies=[require("admin")])
_MEDIA_TYPES = {"csv": "text/csv; charset=utf-8", "jsonl": "application/jsonl"}
_FILES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "A page of events, newest first, or with `format` the piece of a file; `Link` leads to the next",
        "content": {"text/csv": {"schema": {"type": "string"}}, "application/jsonl": {"schema": {"type": "string"}}},
    }
}

Some = Annotated[str | None, Query(max_length=128)]


class AuditAnswer(StrictModel):
    """An event. `count` is above 1 where like events of a minute are one."""

    time: str
    type: str
    principal: str | None
    session_id: str | None
    details: dict[str, Any]
    ip: str | None
    user_agent: str | None
    count: int
    end_user: str | None
    request_id: str | None


@router.get("/v1/audit", response_model=ListOf[AuditAnswer], responses=_FILES)
def read_audit(
    request: Request,
    tenant: TenantDep,
    runtime: RuntimeDep,
    base_url: BaseUrlDep,
    page: PageDep,
    type: Annotated[str | None, Query(max_length=64, description="As `admin.change`")] = None,
    user_id: Annotated[str | None, Query(max_length=64, description="A user's, key's or client's id")] = None,
    session_id: Some = None,
    tool: Some = None,
    first: Annotated[Timestamp | None, Query(alias="from", description="From this time on; 30 days by default")] = None,
    last: Annotated[Timestamp | None, Query(alias="to", description="Before this time; now by default")] = None,
    format: Annotated[Literal["json", "csv", "jsonl"], Query(description="A list, or a file")] = "json",
) -> ListOf[AuditAnswer] | Response:
    """List events, newest first. A file comes in pieces as large as an answer may be; `limit` is for lists alone."""
    query = make_query(
        now=runtime.clock(), since=first, until=last, type=type, user_id=user_id, session_id=session_id, tool=tool
    )
    asked = {name: value for name, value in request.query_params.items() if name not in ("cursor", "limit")}
    scope = list_scope(tenant, "audit", **asked)
    wanted = page_request(page, runtime.cursors, scope=scope)
    audit = open_audit(tenant, runtime.tenant_table(tenant.tenant_id), runtime.clock)
    if format == "json":
        return render_page(audit.list(query, wanted).map(_render), runtime.cursors, scope=scope)
    piece = export_piece(audit, query, format, wanted.position)
    response = Response(piece.text, media_type=_MEDIA_TYPES[format])
    response.headers["Content-Disposition"] = f'attachment; filename="audit-{query.until:%Y-%m-%d}.{format}"'
    if piece.position is not None:
        response.headers["Link"] = f'<{_next(request, runtime, base_url, piece.position, scope)}>; rel="next"'
    return response


def _render(event: AuditEvent) -> AuditAnswer:
    return AuditAnswer.model_validate(render_event(event))


def _next(request: Request, runtime: Runtime, base_url: str, position: Position, scope: str) -> str:
    here = URL(f"{base_url}/v1/audit?{request.url.query}")
    return str(here.include_query_params(cursor=runtime.cursors.sign(position, scope=scope)))
