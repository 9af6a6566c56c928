"""Stores ledger entries: one item per run, in the month of the run's id, so that a run can be settled only once.

The attribute `counted` marks an entry that the usage aggregates include (see `atrium.usage.sums`).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from atrium.kernel.clock import format_time, parse_time
from atrium.kernel.errors import ConditionFailed
from atrium.kernel.ids import AgentId, RunId, SessionId, TenantId, read_time
from atrium.llm.model import Usage
from atrium.storage import keys
from atrium.storage.keys import Key
from atrium.storage.table import Query, TenantTable
from atrium.storage.writes import NEW, Put
from atrium.usage.model import LedgerEntry

_PAGE = 1_000
_TENANT = "tenant"  # a key of a stored map must not be empty


@dataclass(frozen=True, slots=True)
class LedgerStore:
    """Reads and writes the ledger of one tenant."""

    table: TenantTable

    def put(self, entry: LedgerEntry) -> bool:
        """Write the entry of a settled run, once. Return False if the run already has a different entry."""
        item = encode_entry(entry)
        try:
            self.table.write(Put(ledger_key(entry.run_id), item, NEW))
        except ConditionFailed as refused:
            found = refused.item or {}
            return all(found.get(name) == value for name, value in item.items())
        return True

    def get(self, run_id: RunId) -> LedgerEntry | None:
        item = self.table.get(ledger_key(run_id))
        return decode_entry(self.table.tenant_id, item) if item else None

    def read_month(self, month: str, *, uncounted: bool = False) -> Iterator[tuple[LedgerEntry, bool]]:
        """Yield each entry of a run started in a month (`2026-11`), and whether the usage aggregates include the entry.

        Reads are strongly consistent, but miss entries written later. Costs one read unit for about eight entries.
        """
        where = "attribute_not_exists(#counted)" if uncounted else ""
        query = Query(keys.ledger_month(month), limit=_PAGE, where=where)
        for item in self.table.query_all(query):
            yield decode_entry(self.table.tenant_id, item), "counted" in item

    def find(self, own_ulid: str) -> LedgerEntry | None:
        """Return the entry of the run with this ULID, or None. Strongly consistent."""
        partition = keys.ledger_month(keys.month(read_time(f"run_{own_ulid}")))
        found = self.table.query(Query(partition, prefix=f"run_{own_ulid}", limit=1)).items
        return decode_entry(self.table.tenant_id, found[0]) if found else None


def ledger_key(run_id: RunId) -> Key:
    return keys.ledger(keys.month(read_time(run_id)), run_id)


def encode_entry(entry: LedgerEntry) -> dict[str, Any]:
    """Return the attributes of an entry's item, except its key. Numbers are not converted to text."""
    return {
        "at": format_time(entry.at),
        "agent_id": entry.agent_id,
        "principal_id": entry.principal_id,
        "session_id": entry.session_id,
        "model": entry.model,
        "provider": entry.provider,
        "status": entry.status,
        "input_tokens": entry.tokens.input_tokens,
        "output_tokens": entry.tokens.output_tokens,
        "cache_read_tokens": entry.tokens.cache_read_tokens,
        "cache_write_tokens": entry.tokens.cache_write_tokens,
        "tool_calls": dict(entry.tool_calls),
        "cost_nanos": entry.cost_nanos,
        "end_user": entry.end_user or None,
        "admitted": {scope_id or _TENANT: second for scope_id, second in entry.admitted.items()} or None,
        "new_session": entry.new_session or None,
        "estimated": entry.estimated or None,
        "own_key": entry.own_key or None,
    }


def decode_entry(tenant_id: TenantId, item: Mapping[str, Any]) -> LedgerEntry:
    """Parse a ledger item. Raise `KeyError` or `ValueError` if it is invalid."""
    return LedgerEntry(
        run_id=RunId(item["sk"]),
        tenant_id=tenant_id,
        at=parse_time(item["at"]),
        agent_id=AgentId(item["agent_id"]),
        principal_id=item["principal_id"],
        session_id=SessionId(item["session_id"]),
        model=item["model"],
        provider=item["provider"],
        status=item["status"],
        tokens=Usage(
            item["input_tokens"], item["output_tokens"], item["cache_read_tokens"], item["cache_write_tokens"]
        ),
        tool_calls=item["tool_calls"],
        cost_nanos=item["cost_nanos"],
        end_user=item.get("end_user", ""),
        admitted={"" if name == _TENANT else name: second for name, second in item.get("admitted", {}).items()},
        new_session=bool(item.get("new_session")),
        estimated=bool(item.get("estimated")),
        own_key=bool(item.get("own_key")),
    )
