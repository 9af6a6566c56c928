"""Decides about tool calls that need approval."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from atrium.kernel.clock import Clock
from atrium.kernel.errors import Conflict, NotFound, invalid_field
from atrium.kernel.ids import RunId
from atrium.policy.guard import PolicyGuard
from atrium.runs.approvals import Approvals, Decision
from atrium.runs.model import Run
from atrium.runs.service import RunService
from atrium.runs.steps import StepLog
from atrium.tools.registry import ToolRegistry, amount_of


@dataclass(frozen=True, slots=True)
class ApprovalService:
    """Approves or refuses tool calls for one caller. `wake` lets a worker resume the run."""

    runs: RunService
    guard: PolicyGuard
    tools: ToolRegistry
    wake: Callable[[RunId], None]
    clock: Clock

    def decide(
        self,
        run_id: str,
        tool_call_id: str,
        decision: Literal["approve", "refuse"],
        *,
        args: Mapping[str, Any] | None = None,
        reason: str = "",
    ) -> Run:
        """Record a decision about a tool call, and return the run. `args` replaces the arguments of an approved call.

        When all calls for which the run waits are decided, a worker resumes the run. Idempotent for equal decisions.
        Raises `NotFound` for an unknown run or call, `Conflict` if the run does not wait for the call or the call has
        another decision, `PolicyDenied` if the caller may not use the tool, and `ValidationFailed` for invalid `args`.
        """
        run = self.runs.get(run_id)
        wanted = Decision(decision, self.runs.context.owner, self.clock(), args, reason)
        approvals = Approvals(self.runs.runs, run)
        if approvals.is_repeated(tool_call_id, wanted):
            return run
        steps = StepLog(self.runs.runs, run.id, self.clock)
        call = next((each for each in steps.read().calls if each.id == tool_call_id), None)
        if call is None:
            raise NotFound("The run has no tool call with this id that needs approval.")
        if not run.is_waiting or tool_call_id not in run.waiting_for:
            raise Conflict("The run does not wait for the approval of this tool call, or does not wait any more.")
        given = call.input if args is None else args
        self.guard.require_permission(f"tool:{call.name}", amount=amount_of(given), session_id=run.session_id)
        problem = self.tools.find_problem(call.name, args) if args is not None else ""
        if problem:
            raise invalid_field("args", problem)
        details: dict[str, object] = {"run_id": run.id, "tool": call.name, "tool_call_id": call.id}
        details |= {"decision": decision, "args": dict(given), "reason": reason}
        record = self.guard.audit.recording("tool.decide", details, session_id=run.session_id, end_user=run.end_user)
        approvals.decide(tool_call_id, wanted, record)
        if approvals.are_decided():
            self.wake(run.id)
        return run
