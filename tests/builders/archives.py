"""The archiver of a tenant in a test, and what callers see of a session."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from atrium.context.conversation import Conversation, RecentRuns, open_conversation
from atrium.kernel.ids import RunId, SessionId, TenantId
from atrium.kernel.pagination import Page, PageRequest
from atrium.llm.model import ModelMessage
from atrium.runs.items import SEGMENT
from atrium.runs.model import Message, Outcome, Run, Summary
from atrium.sessions.archiving import Archived, SessionArchiver
from atrium.sessions.store import LISTED_INTERVAL
from atrium.storage import keys
from atrium.storage.table import Query

from functions.chat.models import RunAnswer, render_run
from functions.sessions.models import render_message
from tests.builders.records import build_outcome, build_run
from tests.builders.sessions import build_session
from tests.builders.tenant_env import ADMIN, TENANT, TenantEnv

IDLE = timedelta(hours=2)
IDLE_FOR = IDLE + LISTED_INTERVAL + timedelta(seconds=1)
"""The time after which a session is archived in any case."""


def archiver(tenant_env: TenantEnv, tenant: TenantId = TENANT) -> SessionArchiver:
    """Return the archiver of a tenant. Failures are added to `defects`."""
    return SessionArchiver(
        tenant_env.runs(tenant), tenant_env.clock, IDLE, lambda _session, error: tenant_env.defects.append(error)
    )


def archive(tenant_env: TenantEnv, tenant: TenantId = TENANT) -> Archived:
    """Wait until all sessions are idle, and archive them. Return the sum of all steps."""
    tenant_env.clock.now += IDLE_FOR
    runs = segments = size = 0
    while True:
        step = archiver(tenant_env, tenant).step()
        runs, segments, size = runs + step.runs, segments + step.segments, size + step.bytes
        if step.is_done:
            return Archived(runs, segments, size)


def add_session(tenant_env: TenantEnv) -> SessionId:
    """Store a session without a turn."""
    tenant_env.clock.advance(1)
    session = build_session(at=tenant_env.clock(), agent_id=None)
    tenant_env.sessions().create(session)
    return session.id


def add_run(
    tenant_env: TenantEnv,
    session_id: SessionId,
    *answers: Message,
    asked: Message | None = None,
    summary: Summary | None = None,
    **changes: Any,
) -> Run:
    """Store an ended run, one second after the previous run."""
    tenant_env.clock.advance(1)
    at, runs = tenant_env.clock(), tenant_env.runs()
    run = build_run(session_id, at=at, **changes)
    run = replace(run, question=asked) if asked else run
    outcome: Outcome = build_outcome(messages=answers, summary=summary) if answers else build_outcome("Hello.")
    runs.open(run)
    runs.end(run.id, outcome, at=at)
    return run.ended(outcome, at)


def seen(tenant_env: TenantEnv, session_id: SessionId) -> dict[str, Any]:
    """Return everything that callers can read of a session, and the messages of its next model request."""
    service, runs = tenant_env.run_service(ADMIN), tenant_env.runs()
    stored = all_of(lambda page: runs.list_by_session(session_id, page, newest_first=True))
    everyones = all_of(lambda page: service.list(page, session_id=None, status=None))
    listed: list[RunAnswer] = [render_run(run) for run in everyones if run.session_id == session_id]
    return {
        "runs": stored,
        "one by one": [runs.get(run.id) for run in stored],
        "list": [answer.model_dump_json() for answer in listed],
        "messages": told(tenant_env, session_id),
        "events": [tenant_env.replay(run.id) for run in stored],
        "session": tenant_env.sessions().get(session_id),
        "request": next_messages(tenant_env, session_id),
    }


def told(tenant_env: TenantEnv, session_id: SessionId) -> list[str]:
    """Return the messages of a session in the format of the API."""
    found = all_of(lambda page: tenant_env.session_service(ADMIN).list_messages(session_id, page))
    return [render_message(each).model_dump_json() for each in found]


def all_of[Item](read: Callable[[PageRequest], Page[Item]]) -> list[Item]:
    """Return the items of all pages of a list."""
    page = read(PageRequest(100))
    found = page.items
    while page.position is not None:
        page = read(PageRequest(100, page.position))
        found += page.items
    return found


def next_messages(tenant_env: TenantEnv, session_id: SessionId) -> Sequence[ModelMessage]:
    """Return the earlier messages of the session's next model request."""
    recent = RecentRuns.read(tenant_env.runs(), session_id)
    return open_conversation(recent, Conversation()).messages((), ())


def segments_of(tenant_env: TenantEnv, session_id: SessionId) -> list[str]:
    """Return the segments to which the runs of a session refer, oldest first. Assert that these objects exist."""
    items = tenant_env.table().query_all(runs_of(session_id))
    found = list(dict.fromkeys(item[SEGMENT] for item in items if SEGMENT in item))
    stored = [name.partition(f"{TENANT}/")[2] for name in tenant_env.blobs() if f"/{session_id}/" in name]
    assert sorted(stored) == sorted(found)
    return found


def runs_of(session_id: SessionId) -> Query:
    return Query(keys.session(session_id).partition, prefix="RUN#", limit=100)


def hot_runs(tenant_env: TenantEnv, session_id: SessionId) -> list[RunId]:
    """Return the runs of a session whose payloads are in the table."""
    items = tenant_env.table().query_all(runs_of(session_id))
    return [RunId(item["id"]) for item in items if "question" in item or "outcome" in item]


def fill(tenant_env: TenantEnv, count: int = 3) -> SessionId:
    """Store a session with ended runs."""
    session_id = add_session(tenant_env)
    for number in range(count):
        add_run(
            tenant_env, session_id, question=f"Question {number}", metadata={"number": number} if number % 2 else {}
        )
    return session_id
