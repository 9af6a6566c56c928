"""What the processes of an admission race run: each has a client of its own, threads, and replies that get lost."""

import random
import time
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from atrium.kernel.clock import read_clock
from atrium.kernel.errors import LimitReached, Unavailable
from atrium.kernel.ids import TenantId, mint_run_id, mint_session_id
from atrium.quotas.beginning import SessionDoor
from atrium.quotas.charges import entry_of
from atrium.quotas.model import AdmissionRequest, Hold, LimitName, Refused, Subject
from atrium.quotas.service import AdmissionService
from atrium.quotas.store import AdmissionStore
from atrium.quotas.terms import Terms
from atrium.storage import keys
from atrium.storage.table import PhysicalTable, TenantTable
from atrium.storage.writes import NEW, Put
from botocore.awsrequest import AWSPreparedRequest
from botocore.exceptions import ReadTimeoutError
from botocore.httpsession import URLLib3Session

from infra.runtime.resources import Endpoint

PROCESSES = 8
THREADS = 8


@dataclass(frozen=True)
class Race:
    """Where and against what; it can be sent to a process. `lost` is the share of replies lost after the write."""

    url: str
    table_name: str
    tenant: TenantId
    limits: Mapping[LimitName, int]
    start_at: float = 0.0
    tokens: int = 0
    cost_nanos: int = 0
    new_session: bool = False
    subjects: tuple[Subject, ...] = ()
    attempts: int = 2
    lost: float = 0.0
    seed: int = 0

    def store(self) -> AdmissionStore:
        client = Endpoint(self.url).client("dynamodb")
        if self.lost:
            for operation in ("UpdateItem", "TransactWriteItems"):
                client.meta.events.register(f"before-send.dynamodb.{operation}", Loss(self.lost, self.seed))
        return AdmissionStore(TenantTable(PhysicalTable(client, self.table_name), self.tenant), read_clock)


@dataclass
class Loss:
    """A botocore hook: the request reaches the table, and its reply does not come back."""

    share: float
    seed: int
    session: URLLib3Session = field(default_factory=lambda: URLLib3Session(max_pool_connections=THREADS))

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)

    def __call__(self, request: AWSPreparedRequest, **_: Any) -> None:
        if self.chance.random() < self.share:
            self.session.send(request)
            raise ReadTimeoutError(endpoint_url=request.url)


@dataclass(frozen=True)
class Tally:
    """What one process was granted, and by which limits it was refused."""

    holds: tuple[Hold, ...]
    refused: Counter[str]


def run(race: Race) -> Tally:
    """Ask for admission from every thread at once; nothing is settled."""
    store = race.store()

    def ask(_: int) -> Hold | str:
        now = read_clock()
        run_id = mint_run_id(now, mint_session_id(now))
        request = AdmissionRequest(run_id, race.tokens, race.cost_nanos, race.new_session, race.subjects)
        answer = until_told(lambda: store.take(0, entry_of(request, race.limits)))
        if isinstance(answer, Refused):
            return answer.limit
        return Hold(run_id, 0, answer.second, answer.tokens, answer.cost_nanos, answer.marks)

    time.sleep(max(0.0, race.start_at - time.time()))
    with ThreadPoolExecutor(THREADS) as threads:
        answers = list(threads.map(ask, range(THREADS * race.attempts)))
    holds = tuple(answer for answer in answers if isinstance(answer, Hold))
    return Tally(holds, Counter(answer for answer in answers if isinstance(answer, str)))


def run_served(race: Race) -> Tally:
    """Ask for admission as chat does, over all items that a subject and its tenant have."""
    service, terms = AdmissionService(race.store()), Terms(race.limits)

    def ask(_: int) -> Hold | str:
        now = read_clock()
        run_id = mint_run_id(now, mint_session_id(now))
        request = AdmissionRequest(run_id, race.tokens, race.cost_nanos, race.new_session, race.subjects)
        answer = until_told(lambda: service.admit(request, terms))
        return f"{answer.scope}.{answer.limit}" if isinstance(answer, Refused) else answer.hold

    time.sleep(max(0.0, race.start_at - time.time()))
    with ThreadPoolExecutor(THREADS) as threads:
        answers = list(threads.map(ask, range(THREADS * race.attempts)))
    holds = tuple(answer for answer in answers if isinstance(answer, Hold))
    return Tally(holds, Counter(answer for answer in answers if isinstance(answer, str)))


def begin_sessions(race: Race) -> int:
    """Begin sessions without a turn from every thread at once; return how many there are of them afterwards."""
    store, terms = race.store(), Terms(race.limits)

    def begin(_: int) -> int:
        session_id = mint_session_id(read_clock())
        record = Put(keys.session(session_id), {"id": session_id}, NEW)
        door = SessionDoor(store, terms, race.subjects)
        try:
            until_told(lambda: door.begin(session_id, record))
        except LimitReached:
            return 0
        return 1

    time.sleep(max(0.0, race.start_at - time.time()))
    with ThreadPoolExecutor(THREADS) as threads:
        return sum(threads.map(begin, range(THREADS * race.attempts)))


def until_told[Answer](ask: Callable[[], Answer]) -> Answer:
    """Ask again for the same run while the table stays silent, as a caller would."""
    for _ in range(9):
        try:
            return ask()
        except Unavailable:
            continue
    return ask()


def settle(race: Race, holds: tuple[Hold, ...]) -> int:
    """Settle every hold from several threads, each twice; return how often it was this call that settled."""
    store = race.store()

    def end(hold: Hold) -> int:
        return int(type(store.settle(hold, race.tokens // 2, race.cost_nanos // 2)).__name__ == "Settled")

    with ThreadPoolExecutor(THREADS) as threads:
        return sum(threads.map(end, [*holds, *reversed(holds)]))
