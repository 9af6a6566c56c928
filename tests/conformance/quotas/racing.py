"""Code that runs in the processes of a race.

Each process has a separate client and eight threads. Optionally, a share of the replies is lost.
"""

import random
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from typing import Any

from atrium.kernel.errors import Unavailable
from atrium.kernel.ids import RunId, TenantId, mint_run_id, mint_session_id, mint_tenant_id
from atrium.quotas.item import AdmissionItem
from atrium.quotas.limits import DEFINITIONS
from atrium.quotas.model import (
    AdmissionRequest,
    Admitted,
    LeaseExpired,
    LimitName,
    QuotaScope,
    Recorded,
    Rejected,
    Reservation,
    ScopeLimits,
    Used,
)
from atrium.quotas.platform import PlatformLimit
from atrium.quotas.service import QuotaService
from atrium.storage import keys, platform_keys
from atrium.storage.table import PhysicalTable, PlatformTable, TenantTable
from atrium.storage.writes import NEW, Put
from botocore.awsrequest import AWSPreparedRequest
from botocore.exceptions import ReadTimeoutError
from botocore.httpsession import URLLib3Session

from infra.runtime.resources import Endpoint

PROCESSES = 8
THREADS = 8
CALLERS = PROCESSES * THREADS
NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC).timestamp()
IDS: dict[QuotaScope, str] = {"tenant": "", "user": "usr_a", "key": "key_a", "agent": "agt_a", "tool": "TOOL#a"}


@dataclass(frozen=True)
class Clock:
    """The real clock plus an offset. All processes use the same offset, so that a race starts at noon."""

    offset: float

    def __call__(self) -> datetime:
        return datetime.fromtimestamp(time.time() + self.offset, UTC)


@dataclass(frozen=True)
class Race:
    """The table, tenants and limits of a race. Instances can be pickled. `lost` is the share of lost replies."""

    url: str
    table_name: str
    tenants: tuple[TenantId, ...]
    scopes: tuple[ScopeLimits, ...] = ()
    offset: float = 0.0
    platform_max: int | None = None
    lost: float = 0.0
    seed: int = 0
    start_at: float = 0.0
    amount: int = 100

    @property
    def clock(self) -> Clock:
        return Clock(self.offset)

    def physical(self) -> PhysicalTable:
        return PhysicalTable(open_client(self.url, self.lost, self.seed if self.lost else 0), self.table_name)

    def services(self) -> list[QuotaService]:
        """Return a service for each tenant. The services share one client and one cache of the platform limit."""
        physical, clock = self.physical(), self.clock
        platform = None
        if self.platform_max is not None:
            platform = PlatformLimit(PlatformTable(physical), self.platform_max, clock)
        return [QuotaService(TenantTable(physical, each), clock, platform) for each in self.tenants]

    def service(self) -> QuotaService:
        return self.services()[0]

    def items(self) -> dict[str, AdmissionItem]:
        """Check and return the admission items of the first tenant, by scope id."""
        found = replace(self, lost=0.0).service().store.list()
        for item in found.values():
            check_item(item)
        return found

    def request(self, *, new_session: bool = True) -> AdmissionRequest:
        now = self.clock()
        return AdmissionRequest(mint_run_id(now, mint_session_id(now)), self.amount, self.amount, new_session)


@cache
def open_client(url: str, lost: float, seed: int) -> Any:
    """Return the client of this process. Clients with and without lost replies are separate, and are cached."""
    client = Endpoint(url).client("dynamodb")
    for operation in ("UpdateItem", "PutItem", "TransactWriteItems") if lost else ():
        client.meta.events.register(f"before-send.dynamodb.{operation}", ReplyLoss(lost, seed))
    return client


@dataclass
class ReplyLoss:
    """A botocore hook that sends a request and then loses its reply, with the probability `share`."""

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
    """The admitted reservations, and the number of rejections by limit, in the form `scope.limit`."""

    granted: tuple[Reservation, ...] = ()
    rejected: Counter[str] = field(default_factory=Counter)


def race_on(table: PhysicalTable, *scopes: ScopeLimits, tenants: int = 1, **fields: Any) -> Race:
    """Return a race of new tenants. Its clock starts at noon, in the middle of a month."""
    offset = NOON - time.time()
    ids = tuple(mint_tenant_id(Clock(offset)()) for _ in range(tenants))
    return Race(table.client.meta.endpoint_url, table.name, ids, scopes, offset, **fields)


def limits_of(scope: QuotaScope, **limits: int) -> ScopeLimits:
    return ScopeLimits(scope, limits, IDS[scope])  # type: ignore[arg-type]  # names of limits


def start[Answer](processes: ProcessPoolExecutor, run: Callable[[Race], Answer], race: Race) -> list[Answer]:
    """Run a function in all processes at once, each with a separate random seed. Return the results."""
    at = time.time() + 0.2
    races = [replace(race, start_at=at, seed=race.seed * PROCESSES + number) for number in range(PROCESSES)]
    return list(processes.map(run, races))


def each_thread[Answer](race: Race, act: Callable[[int], Answer], count: int = THREADS) -> list[Answer]:
    """Run `act` in every thread of this process when the race starts. Return the results."""
    with ThreadPoolExecutor(count) as threads:
        time.sleep(max(0.0, race.start_at - time.time()))
        return list(threads.map(act, range(count)))


def until_answered[Answer](ask: Callable[[], Answer]) -> Answer:
    """Repeat the call until the table is available, as a client does. Raise Unavailable after 20 attempts."""
    for _ in range(19):
        try:
            return ask()
        except Unavailable:
            continue
    return ask()


def admit(race: Race) -> Tally:
    """Request one turn from every thread at once. Do not settle the turns."""
    services = race.services()

    def ask(number: int) -> Reservation | str:
        service, request = services[number % len(services)], race.request()
        return granted(until_answered(lambda: service.admit(request, race.scopes)))

    return tally(each_thread(race, ask))


def fill(race: Race) -> Tally:
    """Request one turn after another until a limit rejects a turn. Do not settle the turns."""
    service, answers = replace(race, lost=0.0).service(), list[Reservation | str]()
    while not answers or isinstance(answers[-1], Reservation):
        answers.append(granted(service.admit(race.request(), race.scopes)))
    return tally(answers)


def platform_slots(race: Race) -> list[set[str]]:
    """Return the runs in each item of the platform limit. Check that no item exceeds its share of the limit."""
    table = PlatformTable(replace(race, lost=0.0).physical())
    limit = PlatformLimit(table, race.platform_max or 0, race.clock)
    found = [table.get(platform_keys.platform_concurrency(item)) or {} for item in range(limit.items)]
    shares = [limit.share(item) for item in range(limit.items)]
    assert sum(shares) == race.platform_max
    slots = [set(item.get("slots", {})) for item in found]
    assert all(len(own) <= share for own, share in zip(slots, shares, strict=True))
    return slots


def granted(answer: Admitted | Rejected) -> Reservation | str:
    return f"{answer.scope}.{answer.limit}" if isinstance(answer, Rejected) else answer.reservation


def tally(answers: Iterable[Reservation | str]) -> Tally:
    found = list(answers)
    rejected = Counter(each for each in found if isinstance(each, str))
    return Tally(tuple(each for each in found if not isinstance(each, str)), rejected)


def merge(tallies: Iterable[Tally]) -> Tally:
    found = list(tallies)
    rejected = sum((each.rejected for each in found), Counter[str]())
    return Tally(tuple(reservation for each in found for reservation in each.granted), rejected)


def settle(given: tuple[Race, Sequence[Reservation], Used]) -> int:
    """Settle every reservation twice from all threads. Return the number of settlements that this process applied."""
    race, reservations, used = given
    service = race.service()

    def end(reservation: Reservation) -> bool:
        return until_answered(lambda: service.settle(reservation, used))

    with ThreadPoolExecutor(THREADS) as threads:
        return sum(threads.map(end, [*reservations, *reversed(reservations)]))


def extend(given: tuple[Race, Sequence[Reservation], Used]) -> list[Reservation]:
    """Request the next model call of each run. Return the reservations of the admitted calls."""
    race, reservations, used = given
    service = race.service()

    def ask(reservation: Reservation) -> Reservation | None:
        request = AdmissionRequest(reservation.run_id, race.amount, race.amount)
        answer = until_answered(lambda: service.extend(reservation, used, request, race.scopes))
        return None if isinstance(answer, Rejected | LeaseExpired) else answer.reservation

    with ThreadPoolExecutor(THREADS) as threads:
        return [each for each in threads.map(ask, reservations) if each is not None]


def create_sessions(race: Race) -> Tally:
    """Create, from every thread at once, one session without a turn and one session with a turn."""
    service = race.service()

    def create(_: int) -> str:
        session_id = mint_session_id(race.clock())
        record = Put(keys.session(session_id), {"id": session_id}, NEW)

        def ask() -> Recorded | Rejected:
            return service.record_session(session_id, record, race.scopes, service.read(race.scopes))

        answer = until_answered(ask)
        return f"{answer.scope}.{answer.limit}" if isinstance(answer, Rejected) else "created"

    def act(number: int) -> tuple[str, Reservation | str]:
        request = race.request()
        return create(number), granted(until_answered(lambda: service.admit(request, race.scopes)))

    answers = each_thread(race, act)
    created = Counter(each for each, _ in answers)
    turns = tally(each for _, each in answers)
    return Tally(turns.granted, created + turns.rejected)


def count_tool_calls(race: Race) -> Tally:
    """Count one tool call from every thread at once."""
    service = race.service()

    def ask(_: int) -> str:
        answer = until_answered(lambda: service.record_tool_call(race.scopes))
        return f"{answer.scope}.{answer.limit}" if isinstance(answer, Rejected) else "counted"

    return Tally(rejected=Counter(each_thread(race, ask)))


def run_ids(reservations: Iterable[Reservation]) -> set[RunId]:
    return {each.run_id for each in reservations}


def counter(item: AdmissionItem, limit: LimitName) -> int:
    """Return the current count of a limit in an item."""
    return item.used(DEFINITIONS[limit])


def check_item(item: AdmissionItem) -> None:
    """Check that each sum of an admission item equals the sum of its seconds, and that no run has two slots."""
    found = item.attributes or {}
    for letter in "rt":
        seconds = [amount for _, own, _, amount in item.buckets if own == letter]
        assert found.get(f"{letter}n", 0) == sum(seconds), f"the sum {letter}n is not that of its seconds"
        assert all(amount >= 0 for amount in seconds)
    assert not set(item.slots) & set(item.late)


def moved(race: Race, seconds: float) -> Race:
    """Return the race with a later clock."""
    return replace(race, offset=race.offset + seconds)
