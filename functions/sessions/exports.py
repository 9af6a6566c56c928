"""`GET /v1/sessions/{session_id}/export`: a whole session as JSON or Markdown."""

from itertools import groupby
from typing import Annotated, Any, Literal
from urllib.parse import quote

from atrium.http.dependencies import BaseUrlDep, RuntimeDep, TenantDep, require
from atrium.http.models import StrictModel, read_decimal_text
from atrium.http.pages import list_scope
from atrium.http.responses import problem_responses
from atrium.kernel.clock import format_time
from atrium.runs.model import Message, Run, RunStatus, usage_fields
from atrium.sessions.export import PART_MESSAGES_MAX, read_part, write_markdown
from atrium.sessions.model import Session
from fastapi import APIRouter, Query, Response
from pydantic import BeforeValidator

from functions.sessions.models import MessageAnswer, SessionAnswer, render_message, render_session
from functions.sessions.sessions import SessionPath, session_service

router = APIRouter(tags=["sessions"])
_MARKDOWN = "text/markdown; charset=utf-8"
_NAME_CHARACTERS = 100
_SEPARATORS = str.maketrans("/\\", "__")
_FILES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The session, or a part of it. The header `Link` contains the URL of the next part",
        "content": {"text/markdown": {"schema": {"type": "string"}}},
    }
}
ExportFormat = Annotated[
    Literal["json", "markdown"],
    Query(description="`json` returns an object, `markdown` returns a document. Default `json`"),
]
Limit = Annotated[
    int,
    Query(ge=1, le=PART_MESSAGES_MAX, description="Messages of a part, 1 to 2,000. Default 2,000"),
    BeforeValidator(read_decimal_text),
]
Cursor = Annotated[str | None, Query(description="`next_cursor` of the previous part. Default: the first part")]


class ExportedUsage(StrictModel):
    """Usage and cost of a run."""

    input_tokens: int
    """Input tokens that were not read from or written to the prompt cache."""
    output_tokens: int
    """Output tokens, including thinking."""
    cache_read_tokens: int
    """Input tokens read from the provider's prompt cache."""
    cache_write_tokens: int
    """Input tokens written to the provider's prompt cache."""
    tool_calls: int
    """Number of executed tool calls."""
    cost_usd: str
    """Cost in USD as decimal text with six decimals."""
    estimated: bool = False
    """Whether the usage is an estimate, because the run was interrupted."""


class ExportedError(StrictModel):
    """The error of a failed run."""

    code: str
    """Code of the error."""
    detail: str
    """What happened."""


class ExportedRun(StrictModel):
    """A turn with its messages. A turn that continues in the next part is also in that part."""

    id: str
    """Id of the run."""
    status: RunStatus
    """Status of the run."""
    agent_id: str
    """Id of the run's agent."""
    provider: str
    """Provider of `model`."""
    model: str
    """Id of the model."""
    stop_reason: str | None
    """Why the run ended. Null if the run is open or failed."""
    error: ExportedError | None
    """Why the run failed. Null unless `status` is `failed`."""
    usage: ExportedUsage
    """Usage and cost of the run. Zero for a run that was copied by a fork."""
    started_at: str
    """When the run started (RFC 3339, UTC)."""
    ended_at: str | None
    """When the run ended (RFC 3339, UTC). Null until the run has ended."""
    messages: list[MessageAnswer]
    """Messages of the run, oldest first."""


class ExportAnswer(StrictModel):
    """A session with its turns and messages, or a part of it."""

    session: SessionAnswer
    """The session."""
    runs: list[ExportedRun]
    """Turns of the session, oldest first."""
    next_cursor: str | None
    """Value of `cursor` for the next part. Null in the last part."""


@router.get(
    "/v1/sessions/{session_id}/export",
    dependencies=[require("sessions:read")],
    response_model=ExportAnswer,
    responses={**_FILES, **problem_responses(404)},
)
def export_session(
    session_id: SessionPath,
    tenant: TenantDep,
    runtime: RuntimeDep,
    base_url: BaseUrlDep,
    response: Response,
    format: ExportFormat = "json",
    limit: Limit = PART_MESSAGES_MAX,
    cursor: Cursor = None,
) -> ExportAnswer | Response:
    """Export a session.

    Returns the whole session as a file: title, times, all messages, and the usage and cost of each turn. A large
    session is returned in parts of about 2 MB, and the header `Link` contains the URL of the next part.
    """
    service = session_service(runtime, tenant)
    session = service.get(session_id)
    scope = list_scope(tenant, "export", session_id=session_id, format=format)
    part = read_part(service, session, runtime.cursors.open(cursor, scope=scope), limit)
    following = runtime.cursors.sign(part.position, scope=scope)
    headers = {"Content-Disposition": _attachment(session, "md" if format == "markdown" else "json")}
    if following is not None:
        here = f"{base_url}/v1/sessions/{session_id}/export?format={format}&limit={limit}"
        headers["Link"] = f'<{here}&cursor={following}>; rel="next"'
    if format == "markdown":
        return Response(write_markdown(session, part.items, is_first=cursor is None), 200, headers, _MARKDOWN)
    response.headers.update(headers)
    return ExportAnswer(session=render_session(session), runs=_runs(part.items), next_cursor=following)


def _attachment(session: Session, extension: str) -> str:
    """Return a file name with the session's id and, for clients that support RFC 8187, with the title."""
    name = quote((session.title or session.id)[:_NAME_CHARACTERS].translate(_SEPARATORS), safe="", errors="replace")
    return f"attachment; filename=\"{session.id}.{extension}\"; filename*=UTF-8''{name}.{extension}"


def _runs(part: list[tuple[Run, Message]]) -> list[ExportedRun]:
    groups = (list(group) for _, group in groupby(part, lambda found: found[0].id))
    return [_render(group[0][0], [render_message(found) for found in group]) for group in groups]


def _render(run: Run, messages: list[MessageAnswer]) -> ExportedRun:
    error = run.outcome.error if run.outcome else None
    return ExportedRun(
        id=run.id,
        status=run.status,
        agent_id=run.agent_id,
        provider=run.provider,
        model=run.model,
        stop_reason=run.outcome.stop_reason if run.outcome else None,
        error=ExportedError(code=error.code, detail=error.detail) if error else None,
        usage=ExportedUsage(**usage_fields(run.spend)),
        started_at=format_time(run.started_at),
        ended_at=format_time(run.ended_at) if run.ended_at else None,
        messages=messages,
    )
