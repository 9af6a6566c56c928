"""Usage aggregates by UTC day and group, derived from ledger entries. Each entry is counted exactly once (ADR 0041).

    USAGE#2026-11-21   TOTAL                               shared item of the day: all calls, and by model, agent, tool
                       USER#… KEY#… CLIENT#… END_USER#…    one item per value
                       MODEL#… AGENT#… TOOL#…              names that do not fit into the shared item

An entry is marked in the transaction that adds its usage, on the condition that the entry has no mark. It is therefore
counted once, even if it is delivered late, twice, out of order, or to two workers.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date
from itertools import batched
from typing import Any

from atrium.kernel.errors import Unavailable
from atrium.kernel.pagination import Position
from atrium.storage import usage_keys
from atrium.storage.keys import Key
from atrium.storage.table import Query, TenantTable, TransactionRefused
from atrium.storage.writes import ANY, Operation, Update
from atrium.usage.model import Arrival, Figures, Group, LedgerEntry, SumKey, principal_group
from atrium.usage.shared import (
    NAMES_MAX,
    SHARED,
    day_of_key,
    divide_sums,
    names_of,
    read_figures,
    read_item,
    write_shared,
)
from atrium.usage.store import ledger_key

OPERATIONS_MAX = 100
TOOLS_MAX = 64
OTHER_TOOLS = "(other)"
_READS_MAX = 100
_UNMARKED = "attribute_exists(pk) AND attribute_not_exists(#counted)"
_THAWED = "attribute_not_exists(#frozen)"


@dataclass(frozen=True, slots=True)
class SumStore:
    """Reads and writes one tenant's usage aggregates."""

    table: TenantTable

    def count(self, arrivals: Sequence[Arrival]) -> None:
        """Add entries to the aggregates. Entries already counted, and entries of frozen days, are skipped.

        The arrivals must fit into one transaction (see `split`). Costs two write units per entry, per day, and per item
        of a group value. After `Unavailable`, either all or none of the entries in the transaction are counted.
        """
        pending = list(arrivals)
        unshared: set[date] = set()
        while pending:
            shared, own = divide_sums(merge(contributions(arrival.entry) for arrival in pending), unshared)
            operations: list[Operation] = [_mark(arrival) for arrival in pending]
            operations += [_add_shared(day, sums) for day, sums in shared.items()]
            operations += [_add(sum_key(key), asdict(figures), ANY) for key, figures in own.items()]
            try:
                return self.table.transact(operations)
            except TransactionRefused as refused:
                days = {day for at, day in enumerate(shared, len(pending)) if at in refused.failed}
                frozen = days & unshared  # the condition failed although no name was added
                left = [
                    arrival for at, arrival in enumerate(pending)
                    if at not in refused.failed and day_of(arrival.entry) not in frozen
                ]  # fmt: skip
                if len(left) == len(pending) and not days:
                    raise Unavailable(internal="unconditional writes of usage aggregates were rejected") from refused
                pending, unshared = left, unshared | days
        return None

    def first(
        self, day: date, group: Group, *, after: str, limit: int, shared: Mapping[SumKey, Figures]
    ) -> dict[str, Figures]:
        """Return the usage of the first `limit` values of a group after `after` on one day, ordered by value.

        `shared` contains the aggregates of the day's shared item. Costs one query, unless it contains the whole group.
        """
        inside = {key.value: figures for key, figures in shared.items() if key.group == group}
        measure = "tool_calls" if group == "TOOL" else "requests"
        total = shared.get(SumKey(day, "TOTAL"), Figures())
        is_all = group in SHARED and getattr(sum(inside.values(), Figures()), measure) == getattr(total, measure)
        own = {} if is_all else self._first_own(day, group, after=after, limit=limit)
        return first_of([{value: figures for value, figures in inside.items() if value > after}, own], limit)

    def _first_own(self, day: date, group: Group, *, after: str, limit: int) -> dict[str, Figures]:
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
        """Return the requested aggregates that exist. Costs half a read unit per item."""
        keys = set(wanted)
        totals = {SumKey(key.day, "TOTAL") for key in keys if key.group in SHARED}
        found = self._read_items({sum_key(key) for key in keys | totals})
        sums = merge(read_item(key, item) for key, item in found.items())
        return {key: figures for key, figures in sums.items() if key in keys}

    def read_shared(self, days: Iterable[date]) -> dict[date, dict[SumKey, Figures]]:
        """Return the aggregates in the shared items of some days."""
        found = self._read_items({sum_key(SumKey(day, "TOTAL")) for day in days})
        return {day_of_key(key): read_item(key, item) for key, item in found.items()}

    def _read_items(self, keys: Iterable[Key]) -> dict[Key, dict[str, Any]]:
        found: dict[Key, dict[str, Any]] = {}
        for some in batched(keys, _READS_MAX, strict=False):
            found |= self.table.batch_get(some, consistent=False)
        return found


def day_of(entry: LedgerEntry) -> date:
    """Return the UTC day for which an entry is counted."""
    return entry.at.astimezone(UTC).date()


def contributions(entry: LedgerEntry) -> dict[SumKey, Figures]:
    """Return the usage that an entry adds to each aggregate. Aggregates by tool have no tokens and no cost."""
    day = day_of(entry)
    whole = Figures.of_call(entry.tokens, sum(entry.tool_calls.values()), entry.cost_nanos, own_key=entry.own_key)
    values: dict[Group | None, str] = {
        "TOTAL": "",
        "MODEL": entry.model,
        "AGENT": entry.agent_id,
        principal_group(entry.principal_id): entry.principal_id,
        "END_USER": entry.end_user,
    }
    sums = {
        SumKey(day, group, value): whole for group, value in values.items() if group == "TOTAL" or (group and value)
    }
    for tool, count in _tools(entry.tool_calls).items():
        sums[SumKey(day, "TOOL", tool)] = Figures(requests=1, tool_calls=count)
    return sums


def merge[K](parts: Iterable[Mapping[K, Figures]]) -> dict[K, Figures]:
    """Return the sum of the usage of each key over all parts."""
    merged: dict[K, Figures] = {}
    for part in parts:
        for key, figures in part.items():
            merged[key] = merged[key] + figures if key in merged else figures
    return merged


def first_of(parts: Iterable[Mapping[str, Figures]], limit: int) -> dict[str, Figures]:
    """Return the first `limit` keys of all parts and the sum of their usage. Parts may be cut after `limit` keys."""
    return dict(sorted(merge(parts).items())[:limit])


def split(arrivals: Iterable[Arrival]) -> Iterator[list[Arrival]]:
    """Divide one tenant's arrivals, without repeated entries, into lists that each fit into one transaction."""
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


def sum_key(key: SumKey) -> Key:
    return usage_keys.usage(key.day.isoformat(), key.group, key.value)


def _tools(calls: Mapping[str, int]) -> dict[str, int]:
    """Return the calls by tool. Tools after the first 64 are combined, so that each entry fits into a transaction."""
    names = sorted(calls)
    kept = {name: calls[name] for name in names[:TOOLS_MAX]}
    rest = sum(calls[name] for name in names[TOOLS_MAX:])
    return kept | ({OTHER_TOOLS: rest} if rest else {})


def _mark(arrival: Arrival) -> Update:
    return Update(
        ledger_key(arrival.entry.run_id), "SET #counted = :sequence", _UNMARKED, {"sequence": arrival.sequence}
    )


def _add_shared(day: date, sums: Mapping[SumKey, Figures]) -> Update:
    """Return the update of a day's shared item. It fails if the item is frozen, or if it has no space for a name."""
    names = {f"n{at}": name for at, name in enumerate(names_of(sums))}
    if not names:
        return _add(sum_key(SumKey(day, "TOTAL")), write_shared(sums), _THAWED)
    known = " AND ".join(f"contains(#names, :{alias})" for alias in names)
    room = f"attribute_not_exists(#names) OR size(#names) < :names_max OR ({known})"
    values = {**names, "names_max": NAMES_MAX}
    return _add(sum_key(SumKey(day, "TOTAL")), write_shared(sums), f"{_THAWED} AND ({room})", values)


def _add(key: Key, attributes: Mapping[str, Any], condition: str, values: Mapping[str, Any] | None = None) -> Update:
    present = {f"a{at}": each for at, each in enumerate(attributes.items()) if each[1]}
    expression = "ADD " + ", ".join(f"#{alias} :{alias}" for alias in present)
    added = {alias: value for alias, (_, value) in present.items()}
    return Update(
        key, expression, condition, {**added, **(values or {})}, {alias: n for alias, (n, _) in present.items()}
    )
