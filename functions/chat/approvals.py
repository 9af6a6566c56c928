"""`POST /v1/runs/{run_id}/approvals/{tool_call_id}`: approve or refuse a tool call for which a run waits."""

from functools import partial
from typing import Annotated, Literal, Self

from atrium.http.dependencies import RuntimeDep, TenantDep, require
from atrium.http.guarding import open_guard
from atrium.http.idempotency import IdempotentRoute
from atrium.http.models import FreeJson, StrictModel
from atrium.http.responses import problem_responses
from atrium.http.turns import run_service
from atrium.jobs.approving import ApprovalService
from atrium.runs.approvals import paused
from atrium.tools.registry import ToolRegistry
from fastapi import APIRouter, Path
from pydantic import Field, model_validator

from functions.chat.models import RunAnswer, render_run
from functions.chat.runs import RunPath

router = APIRouter(tags=["runs"], route_class=IdempotentRoute)

CallPath = Annotated[
    str, Path(pattern=r"^[a-zA-Z0-9_-]{1,128}$", description="Id of the tool call, from the event `approval_required`")
]


class ApprovalBody(StrictModel):
    """A decision about a tool call."""

    decision: Literal["approve", "refuse"]
    """`approve` makes the call. `refuse` does not make it."""
    args: FreeJson | None = None
    """Arguments that replace those of the model, only with `approve`. Null or absent: the model's arguments."""
    reason: Annotated[str, Field(max_length=2_000)] = ""
    """Why the call is refused, at most 2,000 characters, only with `refuse`. The model receives this text."""

    @model_validator(mode="after")
    def check(self) -> Self:
        if self.decision == "refuse" and self.args is not None:
            raise ValueError("args can only be sent with the decision approve")
        if self.decision == "approve" and self.reason:
            raise ValueError("reason can only be sent with the decision refuse")
        return self


@router.post(
    "/v1/runs/{run_id}/approvals/{tool_call_id}",
    dependencies=[require("chat")],
    responses=problem_responses(404, 409),
)
def decide_approval(
    run_id: RunPath, tool_call_id: CallPath, body: ApprovalBody, tenant: TenantDep, runtime: RuntimeDep
) -> RunAnswer:
    """Approve or refuse a tool call.

    Decides about a tool call for which the run waits. When all these calls are decided, the run continues, and its
    events can be followed. A repeated call with the same decision has no effect; another decision returns 409. You must
    be allowed to use the tool.
    """
    wake = partial(runtime.run_queue.send, tenant.tenant_id)
    service = ApprovalService(
        run_service(runtime, tenant), open_guard(runtime, tenant), ToolRegistry(), wake, runtime.clock
    )
    run = service.decide(run_id, tool_call_id, body.decision, args=body.args, reason=body.reason)
    return render_run(paused(service.runs.runs, run, runtime.clock) if run.is_waiting else run)
