"""Sessions that begin without a turn, where nothing limits them."""

from typing import Any

from atrium.kernel.clock import Clock
from atrium.quotas.model import ScopeLimits
from atrium.quotas.service import QuotaService
from atrium.sessions.model import Session
from atrium.sessions.service import SessionService


def begin_session(service: SessionService, clock: Clock, **fields: Any) -> Session:
    """Create an empty session; `fields` are those of a request."""
    quotas, scopes = QuotaService(service.sessions.table, clock), (ScopeLimits("tenant", {}),)
    given = {"title": None, "agent_id": None, "metadata": {}, **fields}
    return service.create(lambda id, record: quotas.record_session(id, record, scopes, quotas.read(scopes)), **given)[0]
