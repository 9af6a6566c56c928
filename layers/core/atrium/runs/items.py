"""A run as an item, and back. `question` and `outcome` are payloads; the rest is plain attributes."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from atrium.kernel.clock import epoch_seconds, format_time, parse_time
from atrium.kernel.ids import AgentId, RunId, TenantId
from atrium.llm.model import Usage
from atrium.quotas.model import Reservation
from atrium.runs.model import Outcome, Run, RunError, Spend
from atrium.runs.payload import decode_events, decode_message, encode_events, encode_message, load_payload
from atrium.storage import keys
from atrium.storage.blobs import TenantBlobs


def opening_attributes(run: Run, tenant_id: TenantId) -> dict[str, Any]:
    """Return the item of an open run but its question, with its places in the indexes.

    The sweeper finds an open run through its slot; one without a slot is in the sweeper's index itself.
    """
    has_slot = run.reservation is not None and run.reservation.recorded
    return {
        "id": run.id,
        "owner": run.owner,
        "agent_id": run.agent_id,
        "provider": run.provider,
        "model": run.model,
        "status": run.status,
        "started_at": format_time(run.started_at),
        "lease": epoch_seconds(run.lease_until) if run.lease_until else None,
        "end_user": run.end_user or None,
        "reservation": run.reservation.to_item() if run.reservation else None,
        "gsi1pk": keys.runs_of(run.owner),
        "gsi1sk": run.id,
        "gsi2pk": keys.all_runs(),
        "gsi2sk": run.id,
        "sweep_pk": None if has_slot else keys.sweep_partition(keys.sweep_shard(run.id)),
        "sweep_sk": None if has_slot else keys.sweep_sort(tenant_id, run.id),
    }


def question_content(run: Run) -> dict[str, Any]:
    return {"message": encode_message(run.question), "metadata": dict(run.metadata)}


def outcome_content(outcome: Outcome) -> dict[str, Any]:
    return {
        "messages": [encode_message(message) for message in outcome.messages],
        "tail": encode_events(outcome.tail),
    }


def closing_attributes(outcome: Outcome, at: datetime) -> dict[str, Any]:
    """Return what an ended run's item says of its end, but the outcome's content."""
    error = outcome.error
    return {
        "status": outcome.status,
        "stop_reason": outcome.stop_reason,
        "spend": spend_attribute(outcome.spend),
        "last_sequence": outcome.last_sequence,
        "iterations": outcome.iterations,
        "degraded": outcome.degraded or None,
        "swept": outcome.swept or None,
        "mark": outcome.mark,
        "ended_at": format_time(at),
        "error_code": error.code if error else None,
        "error_detail": error.detail if error else None,
        "error_retryable": error.retryable if error else None,
        "error_retry_after": error.retry_after_seconds if error else None,
    }


def spend_attribute(spend: Spend) -> dict[str, Any]:
    tokens = spend.tokens
    return {
        "in": tokens.input_tokens,
        "out": tokens.output_tokens,
        "read": tokens.cache_read_tokens,
        "write": tokens.cache_write_tokens,
        "tools": dict(spend.tool_calls),
        "nanos": spend.cost_nanos,
        **({"estimated": True} if tokens.estimated else {}),
    }


def read_spend(data: Mapping[str, Any] | None) -> Spend:
    if not data:
        return Spend()
    tokens = Usage(data["in"], data["out"], data["read"], data["write"], estimated=bool(data.get("estimated")))
    return Spend(tokens, data["tools"], data["nanos"])


def read_run(item: Mapping[str, Any], blobs: TenantBlobs) -> Run:
    """Return the run of an item, its payloads loaded."""
    question = load_payload(blobs, "question", item)
    return Run(
        id=RunId(item["id"]),
        owner=item["owner"],
        agent_id=AgentId(item["agent_id"]),
        provider=item["provider"],
        model=item["model"],
        status=item["status"],
        question=decode_message(question["message"]),
        metadata=question["metadata"],
        started_at=parse_time(item["started_at"]),
        lease_until=datetime.fromtimestamp(item["lease"], UTC) if "lease" in item else None,
        ended_at=parse_time(item["ended_at"]) if "ended_at" in item else None,
        cancel_requested=bool(item.get("cancel")),
        end_user=item.get("end_user", ""),
        spend=read_spend(item.get("spend")),
        outcome=_read_outcome(item, blobs),
        reservation=_read_reservation(item),
    )


def _read_reservation(item: Mapping[str, Any]) -> Reservation | None:
    found = item.get("reservation")
    return Reservation.from_item(RunId(item["id"]), found) if found is not None else None


def _read_error(item: Mapping[str, Any]) -> RunError | None:
    if "error_code" not in item:
        return None
    return RunError(
        item["error_code"], item["error_detail"], item.get("error_retryable"), item.get("error_retry_after")
    )


def _read_outcome(item: Mapping[str, Any], blobs: TenantBlobs) -> Outcome | None:
    content = load_payload(blobs, "outcome", item)
    if content is None:
        return None
    return Outcome(
        status=item["status"],
        stop_reason=item.get("stop_reason"),
        spend=read_spend(item.get("spend")),
        messages=tuple(decode_message(each) for each in content["messages"]),
        tail=decode_events(content["tail"]),
        last_sequence=item["last_sequence"],
        iterations=item.get("iterations", 0),
        error=_read_error(item),
        degraded=bool(item.get("degraded")),
        swept=bool(item.get("swept")),
        mark=item.get("mark", ""),
    )
