"""A worker process whose threads admit and settle turns until it is killed."""

import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from atrium.kernel.errors import Unavailable
from atrium.kernel.ids import TenantId
from atrium.quotas.model import Admitted, Used

from tests.conformance.quotas.racing import Race, limits_of

WORKERS = 4
THREADS = 4
SLOTS = 5
TURN_SECONDS = 0.15


def build_race(race: Race) -> Race:
    """Return the race with the tested limits: slots of a key, of its tenant, and of the platform."""
    scopes = (limits_of("key", concurrent_turns=SLOTS), limits_of("tenant", concurrent_turns=SLOTS))
    return replace(race, scopes=scopes, platform_max=SLOTS)


def work(race: Race, notes: Path) -> None:
    """Run turns until the process is killed. Write the start and end of each turn to `notes`."""
    service = race.service()
    with notes.open("a", buffering=1) as book:

        def run(_: int) -> None:
            while True:
                request = race.request()
                with suppress(Unavailable):
                    answer = service.admit(request, race.scopes)
                    if not isinstance(answer, Admitted):
                        time.sleep(0.05)
                        continue
                    book.write(f"{time.time()} begin {request.run_id}\n")
                    time.sleep(TURN_SECONDS)
                    book.write(f"{time.time()} end {request.run_id}\n")
                    service.settle(answer.reservation, Used(1, 1))

        with ThreadPoolExecutor(THREADS) as threads:
            list(threads.map(run, range(THREADS)))


if __name__ == "__main__":
    url, table_name, tenant, offset, path = sys.argv[1:]
    work(build_race(Race(url, table_name, (TenantId(tenant),), offset=float(offset))), Path(path))
