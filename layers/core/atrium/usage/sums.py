"""Sums by day and group, made from ledger entries so that each entry counts exactly once (ADR 0041).

Whatever is delivered twice, late, in another order, or by two workers at a time: an entry is marked in the same
transaction that adds it, on the condition that it bears no mark. One transaction takes as many entries as fit, so
that entries which share sums share their writes.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date
from typing import Any

from atrium.kernel.errors import Unavailable
from atrium.kernel.pagination import Position
from atrium.storage import usage_keys
from atrium.storage.failures import TransactionRefused
from atrium.storage.keys import Key
from atrium.storage.queries import Query
from atrium.storage.table import TenantTable
from atrium.storage.writes import ANY, Operation, Update
from atrium.usage.model import Arrival, Figures, Group, LedgerEntry, SumKey, principal_group
from atrium.usage.store import ledger_key

OPERATIONS_MAX = 100
TOOLS_MAX = 64
OTHER_TOOLS = "(other)"
_READS_MAX = 100
_UNMARKED = "attribute_exists(pk) AND attribute_not_exists(#counted)"
_THAWED = "attribute_not_exists(#frozen)"  # of a day's TOTAL, which every entry of the day adds to


@dataclass(frozen=True, slots=True)
class SumStore:
    """One tenant's sums."""

    table: TenantTable

    def count(self, arrivals: Sequence[Arrival]) -> None:
        """Add entries to the sums. Those that are counted already change nothing, whoever counted them.

        An entry of a day that is frozen stays unmarked: whoever rebuilds that day counts it afterwards.
        At most 100 operations, and so some 90 entries of one day; see `split`. Costs two write units for each entry
        and each sum. `Unavailable` leaves nothing changed, or all.
        """
        pending = list(arrivals)
        while pending:
            added = merge(contributions(arrival.entry) for arrival in pending)
            operations: list[Operation] = [_mark(arrival) for arrival in pending]
            operations += [_add(key, figures) for key, figures in added.items()]
            try:
                return self.table.transact(operations)
            except TransactionRefused as refused:
                marked = len(pending)
                frozen = {key.day for at, key in enumerate(added, marked) if at in refused.failed}
                left = [
                    arrival for at, arrival in enumerate(pending)
                    if at not in refused.failed and day_of(arrival.entry) not in frozen
                ]  # fmt: skip
                if len(left) == len(pending):
                    raise Unavailable(internal="sums were refused that have no condition") from refused
                pending = left
        return None

    def first(self, day: date, group: Group, *, after: str, limit: int) -> dict[str, Figures]:
        """Return a day's first `limit` sums of a group, by value, of those whose value comes after one."""
        partition, between = usage_keys.usage_values(day.isoformat(), group, after)
        found: dict[str, Figures] = {}
        position: Position | None = None
        while True:
            query = Query(partition, between=between, limit=limit - len(found), position=position)
            page = self.table.query(query)
            found |= {item["sk"].partition("#")[2]: read_figures(item) for item in page.items}
            position = page.position
            if position is None or len(found) >= limit:
                return found

    def read(self, wanted: Iterable[SumKey]) -> dict[SumKey, Figures]:
        """Return the sums that exist; half a read unit each."""
        by_key = {sum_key(each): each for each in wanted}
        places = list(by_key)
        found: dict[Key, dict[str, Any]] = {}
        for at in range(0, len(places), _READS_MAX):
            found |= self.table.batch_get(places[at : at + _READS_MAX], consistent=False)
        return {by_key[key]: read_figures(item) for key, item in found.items()}


def day_of(entry: LedgerEntry) -> date:
    """Return the UTC day that an entry counts in."""
    return entry.at.astimezone(UTC).date()


def contributions(entry: LedgerEntry) -> dict[SumKey, Figures]:
    """Return what an entry adds to which sums. Calls of tools are summed by tool; tokens and money are not."""
    day, tokens, calls = day_of(entry), entry.tokens, entry.tool_calls
    whole = Figures(
        requests=1,
        input_tokens=tokens.input_tokens,
        output_tokens=tokens.output_tokens,
        cache_read_tokens=tokens.cache_read_tokens,
        cache_write_tokens=tokens.cache_write_tokens,
        tool_calls=sum(calls.values()),
        cost_nanos=entry.cost_nanos,
    )
    sums = {
        SumKey(day, "TOTAL"): whole,
        SumKey(day, "MODEL", entry.model): whole,
        SumKey(day, "AGENT", entry.agent_id): whole,
        SumKey(day, "SESSION", entry.session_id): whole,
    }
    group = principal_group(entry.principal_id)
    if group is not None:
        sums[SumKey(day, group, entry.principal_id)] = whole
    if entry.end_user:
        sums[SumKey(day, "END_USER", entry.end_user)] = whole
    for tool, count in _tools(calls).items():
        sums[SumKey(day, "TOOL", tool)] = Figures(requests=1, tool_calls=count)
    return sums


def merge(parts: Iterable[Mapping[SumKey, Figures]]) -> dict[SumKey, Figures]:
    """Add contributions up, key by key."""
    merged: dict[SumKey, Figures] = {}
    for part in parts:
        for key, figures in part.items():
            merged[key] = merged[key] + figures if key in merged else figures
    return merged


def split(arrivals: Iterable[Arrival]) -> Iterator[list[Arrival]]:
    """Cut one tenant's arrivals into lists that `SumStore.count` takes; an entry that arrives twice is taken once."""
    chunk: list[Arrival] = []
    touched: set[SumKey] = set()
    for arrival in {arrival.entry.run_id: arrival for arrival in arrivals}.values():
        own = set(contributions(arrival.entry))
        if chunk and len(chunk) + 1 + len(touched | own) > OPERATIONS_MAX:
            yield chunk
            chunk, touched = [], set()
        chunk.append(arrival)
        touched |= own
    if chunk:
        yield chunk


def _tools(calls: Mapping[str, int]) -> dict[str, int]:
    """Return the calls by tool; tools beyond the first 64 are one, so that an entry always fits a transaction."""
    names = sorted(calls)
    kept = {name: calls[name] for name in names[:TOOLS_MAX]}
    rest = sum(calls[name] for name in names[TOOLS_MAX:])
    return kept | ({OTHER_TOOLS: rest} if rest else {})


def _mark(arrival: Arrival) -> Update:
    return Update(
        ledger_key(arrival.entry.run_id), "SET #counted = :sequence", _UNMARKED, {"sequence": arrival.sequence}
    )


def _add(key: SumKey, figures: Figures) -> Update:
    values = {name: value for name, value in asdict(figures).items() if value}
    expression = "ADD " + ", ".join(f"#{name} :{name}" for name in values)
    return Update(sum_key(key), expression, _THAWED if key.group == "TOTAL" else ANY, values)


def sum_key(key: SumKey) -> Key:
    return usage_keys.usage(key.day.isoformat(), key.group, key.value)


def read_figures(item: Mapping[str, Any]) -> Figures:
    """Return the figures of a sum's item."""
    return Figures(**{name: int(item.get(name, 0)) for name in Figures.__dataclass_fields__})
