"""`GET /v1/audit`: the tenant's audit events, as JSON pages or as a file."""

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
from atrium.llm.normalise import NAME_MAX
from atrium.tenants.auditing import open_audit
from fastapi import APIRouter, Query, Request, Response
from starlette.datastructures import URL

router = APIRouter(tags=["audit"], dependencies=[require("admin")])
_MEDIA_TYPES = {"csv": "text/csv; charset=utf-8", "jsonl": "application/jsonl"}
_FILES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "A page of events, or a part of a file. The header `Link` contains the URL of the next part",
        "content": {"text/csv": {"schema": {"type": "string"}}, "application/jsonl": {"schema": {"type": "string"}}},
    }
}


OfType = Annotated[
    str | None, Query(max_length=64, description="Return only events of this type, such as `admin.change`")
]
OfPrincipal = Annotated[
    str | None, Query(max_length=64, description="Return only events of the user, API key or OAuth client with this id")
]
OfSession = Annotated[str | None, Query(max_length=128, description="Return only events of this session")]
OfTool = Annotated[str | None, Query(max_length=NAME_MAX, description="Return only events of calls of this tool")]
Since = Annotated[
    Timestamp | None, Query(alias="from", description="Start of the period, inclusive (RFC 3339). Default: 30 days ago")
]
Until = Annotated[
    Timestamp | None, Query(alias="to", description="End of the period, exclusive (RFC 3339). Default: now")
]
Format = Annotated[
    Literal["json", "csv", "jsonl"],
    Query(description="`json` returns a list, `csv` and `jsonl` return a file. Default `json`"),
]


class AuditAnswer(StrictModel):
    """An audit event. `count` is above 1 if several equal events from one minute were combined."""

    time: str
    """Time of the event (RFC 3339, UTC)."""
    type: str
    """Type of the event, such as `admin.change`."""
    principal: str | None
    """Caller, such as `user:usr_…` or `key:key_…`. Null if the caller is unknown."""
    session_id: str | None
    """Id of the session to which the event belongs. Null if the event belongs to no session."""
    details: dict[str, Any]
    """Details of the event. The fields depend on `type`."""
    ip: str | None
    """IP address of the caller, with the last part masked. Null if the address is unknown."""
    user_agent: str | None
    """`User-Agent` header of the caller. Null if the header is unknown."""
    count: int
    """Number of equal events that this record combines, at least 1."""
    end_user: str | None
    """Value of `end_user` in the call. Null if `end_user` was not sent."""
    request_id: str | None
    """Request id of the call. Null if the id is unknown."""


@router.get("/v1/audit", response_model=ListOf[AuditAnswer], responses=_FILES)
def read_audit(
    request: Request,
    tenant: TenantDep,
    runtime: RuntimeDep,
    base_url: BaseUrlDep,
    page: PageDep,
    type: OfType = None,
    user_id: OfPrincipal = None,
    session_id: OfSession = None,
    tool: OfTool = None,
    first: Since = None,
    last: Until = None,
    format: Format = "json",
) -> ListOf[AuditAnswer] | Response:
    """List audit events.

    Returns the newest events first. With `format=csv` or `format=jsonl` the response is a file. A large file is
    returned in parts, and the header `Link` contains the URL of the next part. `limit` applies to JSON only.
    """
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
