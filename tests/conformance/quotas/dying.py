"""A worker that admits, renews and settles turns until it is killed."""

import sys
import time
from contextlib import suppress
from pathlib import Path

from atrium.kernel.clock import read_clock
from atrium.kernel.errors import Unavailable
from atrium.kernel.ids import TenantId, mint_run_id, mint_session_id
from atrium.quotas.charges import entry_of
from atrium.quotas.model import AdmissionRequest, Hold, LimitName, Refused

from tests.conformance.quotas.racing import Race

SLOTS: dict[LimitName, int] = {"concurrent_turns": 5}
TURN_SECONDS = 0.15


def work(race: Race, notes: Path) -> None:
    """Hold slots for a moment each, for ever, and note each one's beginning and end."""
    store = race.store()
    with notes.open("a", buffering=1) as book:
        while True:
            now = read_clock()
            run_id = mint_run_id(now, mint_session_id(now))
            with suppress(Unavailable):
                taken = store.take(0, entry_of(AdmissionRequest(run_id, 0, 0), race.limits))
                if isinstance(taken, Refused):
                    time.sleep(0.05)
                    continue
                book.write(f"{time.time()} begin {run_id}\n")
                time.sleep(TURN_SECONDS)
                book.write(f"{time.time()} end {run_id}\n")
                store.settle(Hold(run_id, 0, taken.second, 0, 0, taken.marks), 0, 0)


if __name__ == "__main__":
    work(Race(sys.argv[1], sys.argv[2], TenantId(sys.argv[3]), SLOTS), Path(sys.argv[4]))
