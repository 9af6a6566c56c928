"""What to do about a session that could not be taken: another turn holds it, a dead one does, or a clock is ahead."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from atrium.agent.closing import RunCloser
from atrium.agent.request import OnBusy
from atrium.kernel.clock import Clock
from atrium.kernel.errors import ConditionFailed, NotFound, SessionBusy
from atrium.kernel.ids import RunId, read_time
from atrium.runs.store import RunStore
from atrium.sessions.store import read_session

POLL_SECONDS = 0.5


@dataclass(slots=True)
class BusySession:
    """Makes way for one turn, as its `on_busy` says; it gives up at `deadline`."""

    on_busy: OnBusy
    deadline: datetime
    closer: RunCloser
    runs: RunStore
    clock: Clock
    pause: Callable[[float], None]
    _interrupted: RunId | None = None

    def make_way(self, refused: ConditionFailed) -> datetime | None:
        """Return when the session may be tried again, perhaps after a wait. `SessionBusy` if it may not.

        A time that is returned is one that the next run id must not precede, because the last one came from a
        clock that is ahead of ours.
        """
        head = read_session(refused.item) if refused.item else None
        if head is None or head.is_deleted:
            raise NotFound("there is no such session") from refused
        if head.turn is None:
            return read_time(f"run_{head.last_run_ulid}") + timedelta(milliseconds=1)
        if self.closer.release_stale(head.id):
            return None
        if self.on_busy == "reject" or self.clock() >= self.deadline:
            raise SessionBusy(retry_after_seconds=1) from refused
        if self.on_busy == "interrupt" and self._interrupted != head.turn.run_id:
            self.runs.request_cancel(head.turn.run_id)
            self._interrupted = head.turn.run_id
        self.pause(POLL_SECONDS)
        return None
