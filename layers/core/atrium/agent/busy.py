"""What to do about a session that another turn holds, or a dead one does. Nothing is held while one waits for it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from atrium.agent.closing import RunCloser
from atrium.agent.request import OnBusy
from atrium.kernel.clock import Clock
from atrium.kernel.errors import NotFound, SessionBusy
from atrium.kernel.ids import RunId
from atrium.runs.store import RunStore
from atrium.sessions.model import LiveTurn, Session

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

    def wait(self, head: Session) -> None:
        """Return once no turn holds the session; `SessionBusy`, `NotFound`."""
        while head.turn is not None:
            if not self.closer.release_stale(head.id):
                self._wait_for(head.turn)
            found = self.closer.sessions.get(head.id)
            if found is None:
                raise NotFound("there is no such session")
            head = found

    def _wait_for(self, turn: LiveTurn) -> None:
        if self.on_busy == "reject" or self.clock() >= self.deadline:
            raise SessionBusy(retry_after_seconds=1)
        if self.on_busy == "interrupt" and self._interrupted != turn.run_id:
            self.runs.request_cancel(turn.run_id)
            self._interrupted = turn.run_id
        self.pause(POLL_SECONDS)
