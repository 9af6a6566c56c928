"""Decisions about tool calls that need approval. Each call is decided once.

RUN#<run>   APPROVAL#<tool call>    the decision, kept seven days
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal

from atrium.kernel.clock import Clock, epoch_seconds, format_time, parse_time
from atrium.kernel.errors import ConditionFailed, Conflict
from atrium.runs.items import load_payload, store_payload
from atrium.runs.model import Outcome, Run
from atrium.runs.steps import StepLog
from atrium.runs.store import KEPT_DAYS, RunStore
from atrium.storage import keys
from atrium.storage.table import Query
from atrium.storage.writes import NEW, Put


@dataclass(frozen=True, slots=True)
class Decision:
    """A decision about one tool call. `args` replaces the arguments of an approved call; None keeps them."""

    decision: Literal["approve", "refuse"]
    by: str
    at: datetime
    args: Mapping[str, Any] | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Approvals:
    """The decisions about the calls for which a run waits."""

    runs: RunStore
    run: Run

    def read(self) -> dict[str, Decision]:
        """Return the decisions by tool call id."""
        query = Query(keys.approval(self.run.id, "any").partition, prefix=keys.APPROVAL, limit=100)
        found = {
            item["call"]: _decode(load_payload(self.runs.blobs, "decision", item))
            for item in self.runs.table.query_all(query)
        }
        return {call: found[call] for call in self.run.waiting_for if call in found}

    def is_repeated(self, tool_call_id: str, decision: Decision) -> bool:
        """Return whether this decision was recorded before. Raise `Conflict` if the call has another decision."""
        item = self.runs.table.get(keys.approval(self.run.id, tool_call_id))
        standing = _decode(load_payload(self.runs.blobs, "decision", item)) if item else None
        if standing is not None and replace(standing, by=decision.by, at=decision.at) != decision:
            raise Conflict(f"This tool call was decided before: {standing.decision}, by {standing.by}.")
        return standing is not None

    def are_decided(self) -> bool:
        return len(self.read()) == len(self.run.waiting_for)

    def decide(self, tool_call_id: str, decision: Decision, record: Put) -> None:
        """Record a decision and its audit event in one transaction. Raise `Conflict` if the call has another decision.

        A decision that was recorded before has no effect.
        """
        content = {
            "decision": decision.decision,
            "by": decision.by,
            "at": format_time(decision.at),
            "args": decision.args,
            "reason": decision.reason,
        }
        reference = f"runs/{self.run.id}/approvals/{tool_call_id}"
        item = store_payload(self.runs.blobs, "decision", reference, content)
        item |= {"call": tool_call_id, "ttl": epoch_seconds(decision.at + timedelta(days=KEPT_DAYS))}
        try:
            self.runs.table.write_audited(Put(keys.approval(self.run.id, tool_call_id), item, NEW), [record])
        except ConditionFailed:
            self.is_repeated(tool_call_id, decision)


def paused(runs: RunStore, run: Run, clock: Clock) -> Run:
    """Return a run that waits, with its undecided calls, and with its outcome so far, which is not stored."""
    decided, progress = Approvals(runs, run).read(), StepLog(runs, run.id, clock).read()
    so_far = Outcome(run.status, "approval_required", run.spend, progress.messages, iterations=progress.iterations)
    return replace(run, outcome=so_far, waiting_for=tuple(call for call in run.waiting_for if call not in decided))


def _decode(content: Mapping[str, Any]) -> Decision:
    return Decision(
        decision=content["decision"],
        by=content["by"],
        at=parse_time(content["at"]),
        args=content.get("args"),
        reason=content.get("reason", ""),
    )
