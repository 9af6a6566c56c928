"""Erases the ledger. Monthly totals without personal data are kept for the platform's bills.

    TENANT#<id>   MONTH_TOTAL#2026-11   requests, tokens, tool calls and cost of the calls settled in that month

Entries are deleted in the transaction that adds them to the total, on the condition that they exist. Each entry is
therefore counted once, even if a step is interrupted or repeated. The last pass adds entries that were written after
the first pass.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict
from datetime import date, timedelta
from typing import Any

from atrium.erasure.model import Step, Target, erase_whole
from atrium.kernel.ids import RunId, is_id, read_time
from atrium.kernel.pagination import LIMIT_MAX, Position
from atrium.runs.store import KEPT_DAYS
from atrium.storage import keys, usage_keys
from atrium.storage.keys import Key
from atrium.storage.table import Query, TenantTable, TransactionRefused
from atrium.storage.writes import ANY, EXISTS, Delete, Operation, Update
from atrium.usage.model import FIGURES, Figures

_ENTRIES = 50
_EVENTS_KEPT = timedelta(days=KEPT_DAYS + 3)
"""Time after which the events of a run no longer exist. DynamoDB may remove expired events up to two days late."""


def erase_ledger(target: Target, position: Position | None) -> Step:
    """Add up to fifty ledger entries of a month to its total, and delete them. Costs a query and a transaction."""
    first = target.tenant.created_at.date().replace(day=1) - timedelta(days=1)
    month = date.fromisoformat(position["month"]) if position else first.replace(day=1)
    partition = keys.ledger_month(keys.month(month))
    page = target.table.query(Query(partition, limit=_ENTRIES))
    for item in page.items:
        _erase_events(target, item["sk"])
    removed = _move(target.table, partition, page.items)
    following = (month + timedelta(days=31)).replace(day=1)
    if page.items:
        following = month  # continue with this month until it is empty
    is_done = following > target.now.date() + timedelta(days=31)
    return Step(removed, position={"month": following.isoformat()}, is_done=is_done)


def read_totals(table: TenantTable) -> dict[str, Figures]:
    """Return the totals of an erased ledger by month, oldest first."""
    return {
        item["sk"].removeprefix(keys.MONTH_TOTALS): Figures(**{name: int(item.get(name, 0)) for name in FIGURES})
        for item in table.query_all(Query("", prefix=keys.MONTH_TOTALS, limit=LIMIT_MAX))
    }


def _move(table: TenantTable, partition: str, items: list[dict[str, Any]]) -> int:
    if not items:
        return 0
    totals: defaultdict[str, Figures] = defaultdict(Figures)
    for item in items:
        totals[str(item.get("at", partition.partition("#")[2]))[:7]] += _figures(item)
    operations: list[Operation] = [Delete(Key(partition, item["sk"]), EXISTS) for item in items]
    operations += [_adding(month, figures) for month, figures in totals.items()]
    try:
        table.transact(operations)
    except TransactionRefused:
        return 0  # another erasure has deleted one of the entries; the next step reads the month again
    return len(items)


def _adding(month: str, figures: Figures) -> Update:
    values = {name: value for name, value in asdict(figures).items() if value}
    expression = "ADD " + ", ".join(f"#{name} :{name}" for name in values)
    return Update(usage_keys.month_total(month), expression, ANY, values)


def _figures(item: Mapping[str, Any]) -> Figures:
    """Return the usage of an entry. Missing values count as 0, so that a damaged entry does not stop the erasure."""
    tools = item.get("tool_calls", {})
    named = {name: int(item.get(name, 0)) for name in FIGURES if name not in {"requests", "tool_calls"}}
    named["own_key_cost_nanos"] = named["cost_nanos"] if item.get("own_key") else 0
    return Figures(requests=1, tool_calls=sum(tools.values()), **named)


def _erase_events(target: Target, name: str) -> None:
    """Erase the events of a run. The item of the run is already deleted if the session was deleted during the run."""
    if is_id(name, "run") and target.now - read_time(name) < _EVENTS_KEPT:
        erase_whole(target.table, keys.events(RunId(name), 0).partition)
