"""Builders of sessions and ended runs, and a function that creates a session without a turn."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from atrium.kernel.clock import Clock
from atrium.kernel.ids import AgentId, RunId, SessionId, mint_message_id, mint_run_id, mint_session_id
from atrium.llm.model import Text
from atrium.quotas.model import Recorded, Rejected, ScopeLimits
from atrium.quotas.service import QuotaService
from atrium.runs.model import Message, Outcome, Run, Spend
from atrium.sessions.forking import SessionFork
from atrium.sessions.model import Session
from atrium.sessions.service import SessionService
from atrium.storage.writes import Put

from tests.builders.gateway import KEY_ID
from tests.builders.runtimes import NOON

AGENT = AgentId("agt_01k6r5m2x8f3v9q4w7t1y0z5ah")


def begin_session(service: SessionService, clock: Clock, **fields: Any) -> Session:
    """Create a session without a turn and without limits. `fields` are the fields of the request."""
    given = {"title": None, "agent_id": None, "metadata": {}, **fields}
    return service.create(_counting(service, clock), **given)[0]


def fork_session(
    service: SessionService, session_id: SessionId, *, message_id: str | None = None, title: str | None = None
) -> Session:
    """Fork a session without limits."""
    record = _counting(service, service.clock)
    return SessionFork(service).create(service.get(session_id), record, message_id=message_id, title=title)[0]


def _counting(service: SessionService, clock: Clock) -> Callable[[SessionId, Put], Recorded | Rejected]:
    quotas, scopes = QuotaService(service.sessions.table, clock), (ScopeLimits("tenant", {}),)
    return lambda id, record: quotas.record_session(id, record, scopes, quotas.read(scopes))


def build_session(*, number: int = 0, at: datetime | None = None, **changes: Any) -> Session:
    """Return a session without a turn, created at `at` or, by default, `number` seconds after noon."""
    moment = at or NOON + timedelta(seconds=number)
    fields: dict[str, Any] = {
        "id": mint_session_id(moment),
        "owner": KEY_ID,
        "title": "A title",
        "agent_id": AGENT,
        "end_user": "ann",
        "metadata": {"deep": [1.5, None, {"ü": True}]},
        "message_count": 0,
        "turn_count": 0,
        "created_at": moment,
        "updated_at": moment,
        "last_active_at": moment,
    }
    return Session(**{**fields, **changes})


def run_of(session: Session, seconds: int = 1) -> RunId:
    """Return the id of a run of the session that starts this number of seconds after noon."""
    return mint_run_id(NOON + timedelta(seconds=seconds), session.id)


def ended_run(run_id: RunId, *, messages: int = 2, at: datetime = NOON, spend: Spend | None = None) -> Run:
    """Return an ended run with this number of messages."""
    message = Message(mint_message_id(at), "user", (Text("x"),), at)
    run = Run(run_id, KEY_ID, AGENT, "anthropic", "m", "running", message, at)
    return run.ended(Outcome("succeeded", "end_turn", spend or Spend(), (message,) * (messages - 1)), at)
