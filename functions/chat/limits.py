"""`POST /v1/limits/check`: what a chat request would hold, and which limit would refuse it. It changes nothing."""

from typing import Annotated

from atrium.agent.trying import TrialAnswer
from atrium.http.dependencies import RuntimeDep, TenantDep, require_own_tenant
from atrium.http.models import StrictModel
from atrium.http.responses import problem_responses
from atrium.llm.catalogue import format_cost
from fastapi import APIRouter
from pydantic import Field

from functions.chat.models import ChatBody
from functions.chat.trial import turn_trial

router = APIRouter(tags=["usage"])


class Reserve(StrictModel):
    """What admission would hold until the first model call is settled: upper bounds."""

    tokens: int
    cost_usd: str


class LimitCheck(StrictModel):
    """Whether the same chat request would be admitted now, and if not, what refuses it.

    `binding` is the limit's name. `retry_after_seconds` is null where it is admitted or waiting does not help.
    """

    admitted: bool
    reserve: Reserve
    binding: Annotated[str | None, Field(description="Name of the limit that refuses")]
    scope: str | None
    used: int | str | None
    max: int | str | None
    retry_after_seconds: int | None
    resets_at: str | None


@router.post("/v1/limits/check", responses=problem_responses(403, 404))
def check_limits(body: ChatBody, tenant: TenantDep, runtime: RuntimeDep) -> LimitCheck:
    """Tell what this chat request would hold and whether it would be admitted. Nothing is counted or written.

    What is no limit refuses as it would the chat itself. That the session is busy is not looked at.
    """
    require_own_tenant(tenant, body.tenant_id)
    return _render(turn_trial(runtime, tenant).check(body.to_domain()))


def _render(answer: TrialAnswer) -> LimitCheck:
    said = answer.refusal.extensions if answer.refusal else {}
    return LimitCheck.model_validate(
        {
            "admitted": answer.refusal is None,
            "reserve": Reserve(tokens=answer.tokens, cost_usd=format_cost(answer.cost_nanos)),
            "binding": said.get("limit"),
            **{name: said.get(name) for name in ("scope", "used", "max", "resets_at")},
            "retry_after_seconds": answer.refusal.retry_after_seconds if answer.refusal else None,
        }
    )
