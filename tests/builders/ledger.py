"""Builders of ledger entries, and of their records on the table's stream."""

from datetime import UTC, datetime
from typing import Any

from atrium.kernel.ids import AgentId, RunId, SessionId, TenantId, mint_run_id
from atrium.llm.model import Usage
from atrium.storage.writes import to_wire
from atrium.usage.model import LedgerEntry
from atrium.usage.store import encode_entry, ledger_key

from tests.builders.gateway import KEY_ID, TENANT_ID

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
AGENT_ID = "agt_01k6r5m2x8f3v9q4w7t1y0z5ae"
USER_ID = "usr_01k6r5m2x8f3v9q4w7t1y0z5af"
SESSION_ID = SessionId("ses_01kakz4kc0f3v9q4w7t1y0z5ah")
RUN_ID = RunId("run_01kakz4kc0f3v9q4w7t1y0z5aj01kakz4kc0f3v9q4w7t1y0z5ah")
TOKENS = Usage(100, 20, 3, 4)


def build_entry(
    *,
    at: datetime = NOON,
    started_at: datetime | None = None,
    run_id: RunId | None = None,
    tenant_id: str = TENANT_ID,
    principal_id: str = KEY_ID,
    session_id: SessionId = SESSION_ID,
    model: str = "claude-haiku-5-5",
    agent_id: str = AGENT_ID,
    end_user: str = "",
    tokens: Usage = TOKENS,
    tool_calls: dict[str, int] | None = None,
    cost_nanos: int = 12_345,
    own_key: bool = False,
) -> LedgerEntry:
    """Return the ledger entry of a run that was settled at `at`. By default, the run started at the same time."""
    return LedgerEntry(
        run_id=run_id or mint_run_id(started_at or at, session_id),
        tenant_id=TenantId(tenant_id),
        at=at,
        agent_id=AgentId(agent_id),
        principal_id=principal_id,
        session_id=session_id,
        model=model,
        provider="anthropic",
        status="succeeded",
        tokens=tokens,
        tool_calls=tool_calls or {},
        cost_nanos=cost_nanos,
        end_user=end_user,
        own_key=own_key,
    )


def stream_record(entry: LedgerEntry, sequence: int, *, kind: str = "INSERT") -> dict[str, Any]:
    """Return the stream record of a ledger entry, as Lambda receives it."""
    key = ledger_key(entry.run_id)
    keys = {"pk": f"TENANT#{entry.tenant_id}#{key.partition}", "sk": key.sort}
    image = to_wire({**encode_entry(entry), **keys})
    return table_record(keys["pk"], keys["sk"], sequence, kind=kind, image={} if kind == "REMOVE" else image)


def table_record(
    partition: str, sort: str, sequence: int, *, kind: str = "INSERT", image: dict[str, Any] | None = None
) -> dict[str, Any]:
    change: dict[str, Any] = {
        "ApproximateCreationDateTime": 1_795_255_200,
        "Keys": {"pk": {"S": partition}, "sk": {"S": sort}},
        "SequenceNumber": f"{sequence:021}",
        "SizeBytes": 500,
        "StreamViewType": "NEW_AND_OLD_IMAGES",
    }
    if image:
        change["NewImage"] = image
    return {
        "eventID": f"{sequence:032x}",
        "eventName": kind,
        "eventVersion": "1.1",
        "eventSource": "aws:dynamodb",
        "awsRegion": "eu-central-1",
        "dynamodb": change,
        "eventSourceARN": "arn:aws:dynamodb:eu-central-1:000000000000:table/atrium/stream/2026-11-21T00:00:00.000",
    }
