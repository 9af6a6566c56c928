"""Sessions that begin without a turn, where nothing limits them."""

from typing import Any

from atrium.kernel.clock import Clock
from atrium.quotas.beginning import SessionDoor
from atrium.quotas.store import AdmissionStore
from atrium.quotas.terms import Terms
from atrium.sessions.model import Session
from atrium.sessions.service import SessionService


def begin_session(service: SessionService, clock: Clock, **fields: Any) -> Session:
    """Create an empty session; `fields` are those of a request."""
    door = SessionDoor(AdmissionStore(service.sessions.table, clock), Terms({}))
    given = {"title": None, "agent_id": None, "metadata": {}, **fields}
    return service.create(door, **given)[0]
