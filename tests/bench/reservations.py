"""Measurement of the ratio of reserved to used tokens and money, for mixed turns over HTTP on the local stack.

A reservation is an upper bound: it counts prompt bytes as tokens and assumes the longest answer at the highest price.
The ratio shows how much of a limit a running turn blocks for other turns.
"""

from collections.abc import Sequence
from typing import Any

from atrium.kernel.ids import RunId, TenantId
from atrium.runs.store import RunStore
from atrium.storage.blobs import Bucket, TenantBlobs
from atrium.storage.table import PhysicalTable, TenantTable
from atrium.usage.store import LedgerStore

from infra.runtime.resources import Endpoint
from tests.bench.measuring import percentile

MESSAGES = (
    "Message {number}: hello.",
    "Message {number}: write a page. [[tokens=600]]",
    "Message {number}: read this and say yes. " + "A sentence that is read and not answered. " * 60,
    "Message {number}: what is 12*7?",
)
"""Messages for a short turn, a long answer, a long prompt, and a tool call.

The turn with a tool call makes two model calls. The reservation of the second call is measured.
"""


def measure_reservations(stack: dict[str, Any], runs: Sequence[str]) -> dict[str, float]:
    """Return the ratios of reserved to used tokens and money of ended runs."""
    tenant = TenantId(stack["tenants"][0]["id"])
    endpoint = Endpoint(stack["endpoint_url"])
    table = TenantTable(PhysicalTable(endpoint.client("dynamodb"), stack["table"]), tenant)
    store = RunStore(table, TenantBlobs(Bucket(endpoint.client("s3"), "none"), tenant))
    tokens, money = [], []
    for run_id in map(RunId, runs):
        run, entry = store.get(run_id), LedgerStore(table).get(run_id)
        assert run is not None
        assert run.reservation is not None
        assert entry is not None
        tokens.append(run.reservation.own.tokens_in_all / entry.total_tokens)
        money.append(run.reservation.own.cost_in_all_nanos / entry.cost_nanos)
    return {
        "runs": len(runs),
        "tokens_median": round(percentile(tokens, 0.5), 2),
        "tokens_p99": round(percentile(tokens, 0.99), 2),
        "tokens_least": round(min(tokens), 2),
        "money_median": round(percentile(money, 0.5), 2),
        "money_p99": round(percentile(money, 0.99), 2),
    }
